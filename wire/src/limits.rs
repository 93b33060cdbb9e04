//! Every bound on what a peer can make us hold, in one place.
//!
//! A length is checked against its limit before anything is allocated for it.

/// The longest message on a control link, in bytes.
pub const CONTROL_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// The longest message on a display link towards the DTU, in bytes. A frame
/// that needs more is sent in several parts.
pub const DISPLAY_DOWN_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The longest message on a display link towards the session, in bytes.
pub const DISPLAY_UP_BYTES_MAX: usize = 64 * 1024;
/// The longest message between a server and a session's keeper, in bytes.
pub const LOCAL_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The longest group datagram, in bytes, so that it fits an Ethernet frame.
pub const GROUP_DATAGRAM_BYTES_MAX: usize = 1400;
/// The shortest serverQ, in bytes, so that its answer is never the longer.
pub const SERVER_Q_BYTES_MIN: usize = 512;
/// The most `key=value` pairs in one group datagram.
pub const GROUP_PAIRS_MAX: usize = 128;
/// The most network interfaces of one host that its host messages tell.
pub const INTERFACES_MAX: usize = 32;

/// The most parts of one frame, and the most payload bytes of all of them.
pub const FRAME_PARTS_MAX: usize = 256;
/// The most payload bytes of one frame, over all its parts.
pub const FRAME_BYTES_MAX: usize = 128 * 1024 * 1024;
/// The most commands in one part of a frame.
pub const COMMANDS_MAX: usize = 8192;
/// The most payload bytes of one SET.
pub const SET_BYTES_MAX: usize = 1024 * 1024;
/// The most pixels of one SET or BITMAP, which also bounds what its payload
/// unpacks to.
pub const SET_PIXELS_MAX: u32 = 256 * 1024;
/// The most payload bytes of one BITMAP.
pub const BITMAP_BYTES_MAX: usize = 128 * 1024;
/// The most bytes that one CSCS's payload unpacks to: a megapixel, if four
/// pixels share their chroma.
pub const CSCS_PLANES_BYTES_MAX: usize = 1536 * 1024;
/// The most payload bytes of one CSCS: what it unpacks to, and what packing
/// adds where nothing can be saved.
pub const CSCS_BYTES_MAX: usize = CSCS_PLANES_BYTES_MAX + 64 * 1024;
/// The widest and the highest framebuffer, in pixels.
pub const SIZE_PX_MAX: u16 = 8192;
/// The narrowest and the lowest framebuffer, in pixels.
pub const SIZE_PX_MIN: u16 = 16;
/// The widest and the highest cursor, in pixels.
pub const CURSOR_PX_MAX: u16 = 256;
/// The most frames that a session sends ahead of their acknowledgement.
pub const FRAMES_UNACKNOWLEDGED_MAX: u32 = 2;
/// The most blocks of a picture that are compared: those of the largest.
pub const BLOCKS_MAX: usize = 1024;
/// The most events in one input message.
pub const INPUT_EVENTS_MAX: usize = 256;
/// The most input events that a DTU keeps for a worker that did not yet
/// acknowledge them; beyond it the oldest pointer moves go first.
pub const INPUT_UNACKNOWLEDGED_MAX: usize = 4096;

/// The longest token id, in characters.
pub const TOKEN_ID_CHARS_MAX: usize = 64;
/// The longest server name, in characters (RFC 1123's host name label).
pub const SERVER_NAME_CHARS_MAX: usize = 63;
/// The longest text meant for a person, in bytes.
pub const TEXT_BYTES_MAX: usize = 512;
/// The longest keyboard layout name, in bytes.
pub const KEYMAP_BYTES_MAX: usize = 64;
/// The longest encoded ticket, in bytes.
pub const TICKET_BYTES_MAX: usize = 512;
/// The most servers that one message lists.
pub const SERVERS_MAX: usize = 64;
/// The most addresses of its own that a DTU tells.
pub const DTU_ADDRESSES_MAX: usize = 8;
/// The most redirects that one insert follows.
pub const REDIRECTS_MAX: u8 = 3;
/// The longest certificate or key in a message, in bytes.
pub const CERTIFICATE_BYTES_MAX: usize = 4096;
/// The most words of a command line in a message.
pub const COMMAND_WORDS_MAX: usize = 64;
/// The most sessions of one token.
pub const SESSIONS_MAX: usize = 32;
/// The most services of one session.
pub const SERVICES_MAX: usize = 16;
/// The longest name of a service, in characters.
pub const SERVICE_NAME_CHARS_MAX: usize = 32;
/// The longest name that a user gives a session, in characters.
pub const SESSION_NAME_CHARS_MAX: usize = 64;
