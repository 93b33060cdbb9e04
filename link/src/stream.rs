//! Messages on an ordered stream: a QUIC stream, or a Unix socket.

use afterglow_wire::codec::{DecodeError, Message};
use bytes::{Bytes, BytesMut};
use std::marker::PhantomData;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Why no message comes, or none can be sent.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The stream broke.
    #[error("the stream broke: {0}")]
    Io(#[from] std::io::Error),
    /// The peer sent what is not a message.
    #[error("the peer broke the protocol: {0}")]
    Decode(#[from] DecodeError),
}

/// Takes messages off a stream.
#[derive(Debug)]
pub struct MessageReader<R, M> {
    stream: R,
    buffer: BytesMut,
    message: PhantomData<M>,
}

impl<R: AsyncRead + Unpin, M: Message> MessageReader<R, M> {
    /// Starts to read.
    pub fn new(stream: R) -> Self {
        MessageReader { stream, buffer: BytesMut::new(), message: PhantomData }
    }

    /// The next message; `None` when the peer has finished after a whole one.
    ///
    /// Safe to cancel: what was read of a message stays in the buffer.
    pub async fn next(&mut self) -> Result<Option<M>, StreamError> {
        loop {
            if let Some(bytes) = self.take_whole()? {
                return Ok(Some(M::decode(bytes)?));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.len() {
                    0 => Ok(None),
                    _ => Err(DecodeError::Truncated.into()),
                };
            }
        }
    }

    /// The first message in the buffer, if it is there whole.
    fn take_whole(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let Some(len) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_le_bytes(*len) as usize;
        if len > M::BYTES_MAX {
            return Err(DecodeError::TooLong { what: "message", len, max: M::BYTES_MAX });
        }
        if self.buffer.len() < 4 + len {
            // Memory follows what has come, not what was announced.
            return Ok(None);
        }
        let _ = self.buffer.split_to(4);
        Ok(Some(self.buffer.split_to(len).freeze()))
    }
}

/// Puts messages on a stream.
#[derive(Debug)]
pub struct MessageWriter<W, M> {
    stream: W,
    message: PhantomData<M>,
}

impl<W: AsyncWrite + Unpin, M: Message> MessageWriter<W, M> {
    /// Starts to write.
    pub fn new(stream: W) -> Self {
        MessageWriter { stream, message: PhantomData }
    }

    /// Sends one message.
    pub async fn send(&mut self, message: impl Into<M>) -> Result<(), StreamError> {
        self.stream.write_all(&message.into().encode_framed()).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Says that no more messages follow.
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        Ok(self.stream.shutdown().await?)
    }
}
