//! The write side of a stream that stands around another one.

/// Makes a stream of `[generics] type` writable: what is written goes on to its field `stream` as it is. The closure is
/// given the stream and what comes of a write, and says what its caller is told of that.
macro_rules! passes_writes_on {
    ([$($generics:tt)*] $type:ty, |$this:ident, $written:ident| $told:expr) => {
        const _: () = {
            use std::io;
            use std::pin::Pin;
            use std::task::{Context, Poll};

            use tokio::io::AsyncWrite;

            impl<$($generics)*> AsyncWrite for $type {
                fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                    let $written = Pin::new(&mut self.stream).poll_write(cx, bytes);
                    let $this = &*self;
                    $told
                }

                fn poll_write_vectored(
                    mut self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    pieces: &[io::IoSlice<'_>],
                ) -> Poll<io::Result<usize>> {
                    let $written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
                    let $this = &*self;
                    $told
                }

                fn is_write_vectored(&self) -> bool {
                    self.stream.is_write_vectored()
                }

                fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                    Pin::new(&mut self.stream).poll_flush(cx)
                }

                fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                    Pin::new(&mut self.stream).poll_shutdown(cx)
                }
            }
        };
    };
}
pub(in crate::probe) use passes_writes_on;
