//! What holds for every stream of bytes from a PostgreSQL server.

use probelet::probe::postgres::MessageDecoder;

/// The same bytes are the same messages in whatever pieces they come, and nobody makes room for what is only announced.
/// The first byte says in pieces of how many bytes they come.
pub fn any_messages(bytes: &[u8]) {
    let [size, stream @ ..] = bytes else { return };
    let whole = decoded(stream, stream.len());
    assert_eq!(whole, decoded(stream, usize::from(*size)), "in pieces of {size}");
    let (messages, _) = whole;
    // A message has a letter and four bytes of length.
    assert!(messages <= stream.len() / 5, "{messages} messages in {} bytes", stream.len());
}

/// How many messages came, and what is wrong with the rest.
fn decoded(stream: &[u8], size: usize) -> (usize, Option<String>) {
    let mut decoder = MessageDecoder::default();
    let mut messages = 0;
    for piece in stream.chunks(size.max(1)) {
        decoder.buffer().extend_from_slice(piece);
        loop {
            match decoder.next_message() {
                Ok(Some(_)) => messages += 1,
                Ok(None) => break,
                Err(fault) => return (messages, Some(format!("{fault:?}"))),
            }
        }
        let room = decoder.buffer().capacity();
        assert!(room <= 4 * stream.len() + (64 << 10), "room for {room} bytes");
    }
    (messages, None)
}
