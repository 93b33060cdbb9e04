//! Messages on a stream: in pieces, cut short, too long, not messages at all.

use afterglow_link::stream::{MessageReader, MessageWriter, StreamError};
use afterglow_wire::codec::{DecodeError, Message};
use afterglow_wire::control::{Hello, Remove, ToServer};
use afterglow_wire::limits::CONTROL_MESSAGE_BYTES_MAX;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

fn hello() -> ToServer {
    Hello { version: 1, dtu_name: "desk 4".into() }.into()
}

fn remove(insert: u64) -> ToServer {
    Remove { insert }.into()
}

fn reader(stream: DuplexStream) -> MessageReader<DuplexStream, ToServer> {
    MessageReader::new(stream)
}

/// What a reader makes of these bytes and the end of the stream.
async fn read_all(bytes: &[u8]) -> (Vec<ToServer>, Result<(), StreamError>) {
    let (mut peer, stream) = duplex(64 * 1024);
    peer.write_all(bytes).await.expect("room");
    drop(peer);
    let mut reader = reader(stream);
    let mut messages = Vec::new();
    loop {
        match reader.next().await {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, Ok(())),
            Err(error) => return (messages, Err(error)),
        }
    }
}

#[tokio::test]
async fn messages_arrive_in_order_and_the_end_is_told() {
    let (near, far) = duplex(16);
    let mut writer = MessageWriter::<_, ToServer>::new(near);
    let sending = async move {
        writer.send(hello()).await.expect("sent");
        for insert in 0..100 {
            writer.send(Remove { insert }).await.expect("sent");
        }
        writer.finish().await.expect("finished");
    };
    let receiving = async move {
        let mut reader = reader(far);
        assert_eq!(reader.next().await.expect("whole"), Some(hello()));
        for insert in 0..100 {
            assert_eq!(reader.next().await.expect("whole"), Some(remove(insert)));
        }
        assert_eq!(reader.next().await.expect("the end"), None);
    };
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn a_message_may_come_byte_by_byte_and_the_wait_be_given_up_in_between() {
    let (mut peer, stream) = duplex(64);
    let mut reader = reader(stream);
    for byte in hello().encode_framed() {
        // Nothing more is there: the wait is given up, and nothing is lost.
        tokio::select! {
            biased;
            _ = reader.next() => panic!("the message is not whole"),
            _ = std::future::ready(()) => {}
        }
        peer.write_all(&[byte]).await.expect("room");
    }
    assert_eq!(reader.next().await.expect("whole"), Some(hello()));
}

#[tokio::test]
async fn a_stream_that_is_cut_short_is_an_error_at_every_length() {
    let bytes = hello().encode_framed();
    for len in 1..bytes.len() {
        let (messages, end) = read_all(&bytes[..len]).await;
        assert!(messages.is_empty());
        assert!(matches!(end, Err(StreamError::Decode(DecodeError::Truncated))), "{len}: {end:?}");
    }
}

#[tokio::test]
async fn a_length_above_the_limit_is_refused_before_its_bytes_come() {
    let (mut peer, stream) = duplex(64);
    let mut reader = reader(stream);
    let len = CONTROL_MESSAGE_BYTES_MAX + 1;
    peer.write_all(&(len as u32).to_le_bytes()).await.expect("room");
    // The peer keeps the stream open and sends no more: the refusal must not
    // wait for it.
    let refused = DecodeError::TooLong { what: "message", len, max: CONTROL_MESSAGE_BYTES_MAX };
    match reader.next().await {
        Err(StreamError::Decode(error)) => assert_eq!(error, refused),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn garbage_is_refused_and_what_came_before_it_was_read() {
    let mut bytes = remove(1).encode_framed().to_vec();
    bytes.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
    let (messages, end) = read_all(&bytes).await;
    assert_eq!(messages, [remove(1)]);
    assert!(matches!(end, Err(StreamError::Decode(DecodeError::TooLong { .. }))), "{end:?}");
}

#[tokio::test]
async fn an_unknown_kind_is_skipped_and_the_next_message_is_read() {
    let mut bytes = vec![6, 0, 0, 0, 0xfe, 0x7f, 1, 2, 3, 4];
    bytes.extend_from_slice(&remove(2).encode_framed());
    let (messages, end) = read_all(&bytes).await;
    assert_eq!(messages, [ToServer::Unknown(0x7ffe), remove(2)]);
    assert!(end.is_ok());
}
