//! A card in software, which tells its number and nothing else, in vpcd's
//! protocol: a 2-byte big-endian length, then one byte of command or an APDU.

use super::inside::VPCD_PORT;
use crate::wait;
use anyhow::Result;
use rustix::net::sockopt::set_tcp_quickack;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::thread::JoinHandle;

/// A card of a contactless reader: T=0 and T=1, no historical bytes.
const ATR: [u8; 5] = [0x3b, 0x80, 0x80, 0x01, 0x01];
/// "Give me your number" (PC/SC part 3, GET DATA).
const GET_UID: [u8; 4] = [0xff, 0xca, 0x00, 0x00];
const OK: [u8; 2] = [0x90, 0x00];
const INSTRUCTION_NOT_KNOWN: [u8; 2] = [0x6d, 0x00];

/// The card in the reader; it is taken out when this is dropped.
pub struct InsertedCard {
    stream: TcpStream,
    thread: Option<JoinHandle<()>>,
}

impl InsertedCard {
    /// Puts a card with this number in.
    pub fn insert(uid: &[u8]) -> Result<Self> {
        let stream = wait::until("the reader takes a card", wait::PATIENCE, || {
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, VPCD_PORT)).ok())
        })?;
        let (card, uid) = (stream.try_clone()?, uid.to_owned());
        // The card's end of the link breaks when it is taken out.
        let thread = std::thread::spawn(move || drop(answer(card, &uid)));
        Ok(InsertedCard { stream, thread: Some(thread) })
    }
}

impl Drop for InsertedCard {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, uid: &[u8]) -> std::io::Result<()> {
    loop {
        // Without it the kernel waits 40 ms before it acknowledges.
        set_tcp_quickack(&stream, true)?;
        let mut len = [0; 2];
        stream.read_exact(&mut len)?;
        let mut command = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut command)?;
        let answer = match &command[..] {
            // Power off, power on, reset: nothing to say.
            [0..=2] => continue,
            [4] => ATR.to_vec(),
            apdu if apdu.starts_with(&GET_UID) => [uid, &OK].concat(),
            _ => INSTRUCTION_NOT_KNOWN.to_vec(),
        };
        stream.write_all(&(answer.len() as u16).to_be_bytes())?;
        stream.write_all(&answer)?;
    }
}
