//! How exact a session's picture is while it changes.

wire_choice! {
    /// How exact a session's picture is while it changes. At rest it is
    /// always exact.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub enum Quality {
        /// Every frame is the session's picture, bit for bit.
        #[default]
        Lossless = 0,
        /// What changes like a video is sent as luma and less chroma, and
        /// exactly as soon as it rests.
        Auto = 1,
    }
}

impl Quality {
    /// Its name, as the configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Quality::Lossless => "lossless",
            Quality::Auto => "auto",
        }
    }
}
