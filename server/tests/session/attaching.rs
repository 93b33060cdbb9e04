//! Who may attach.
