//! X cookies: the file that names them, and connecting with one.

use anyhow::{Context, Result, bail};
use std::os::unix::net::UnixStream;
use std::path::Path;
use x11rb::rust_connection::{DefaultStream, RustConnection};

const PROTOCOL: &[u8] = b"MIT-MAGIC-COOKIE-1";
/// The cookie is good for any display.
const FAMILY_WILD: u16 = 0xffff;

/// Writes an Xauthority file with a fresh cookie.
pub fn create(path: &Path) -> Result<()> {
    let mut cookie = [0; 16];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut cookie)?;
    let mut file = FAMILY_WILD.to_be_bytes().to_vec();
    for field in [&b""[..], b"", PROTOCOL, &cookie] {
        file.extend_from_slice(&(field.len() as u16).to_be_bytes());
        file.extend_from_slice(field);
    }
    std::fs::write(path, file).with_context(|| format!("cannot write {}", path.display()))
}

/// The first cookie of an Xauthority file.
fn cookie(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut rest = &file[..];
    while rest.len() > 2 {
        rest = &rest[2..];
        let mut fields = [&[][..]; 4];
        for field in &mut fields {
            let (len, after) = rest.split_first_chunk::<2>().context("a length")?;
            let len = usize::from(u16::from_be_bytes(*len));
            (*field, rest) = after.split_at_checked(len).context("a field")?;
        }
        if fields[2] == PROTOCOL {
            return Ok(fields[3].to_vec());
        }
    }
    bail!("{} holds no cookie", path.display())
}

/// Connects to this display of a system whose root directory this is, with the
/// cookie of this file.
pub fn connect(root: &Path, display: u32, xauthority: &Path) -> Result<RustConnection> {
    let socket = root.join(format!("tmp/.X11-unix/X{display}"));
    let stream = UnixStream::connect(&socket)
        .with_context(|| format!("cannot reach {}", socket.display()))?;
    let (stream, _) = DefaultStream::from_unix_stream(stream)?;
    let (name, data) = (PROTOCOL.to_vec(), cookie(xauthority)?);
    RustConnection::connect_to_stream_with_auth_info(stream, 0, name, data)
        .with_context(|| format!("cannot connect to the X display :{display}"))
}
