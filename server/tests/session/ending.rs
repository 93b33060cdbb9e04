//! How sessions end.
