//! Reads a whole small body (attacks TK-22, RG-14): a declared length over the cap is refused before a byte is read,
//! an undeclared one at the first byte over it, and a body of exactly the cap is accepted.
//!
//! Must never be used for a call to an MCP server: those are the resource server's to stream and to bound.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;

/// Cap of forms and registrations.
pub(crate) const CAP: usize = 64 * 1024;
/// Why there is no body to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The connection broke, or the framing was wrong.
    Broken,
    /// It did not arrive in time.
    TooSlow,
    /// It is over the cap.
    TooLarge,
}

impl BodyError {
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Broken => "body_broken",
            Self::TooSlow => "body_too_slow",
            Self::TooLarge => "body_too_large",
        }
    }
}

/// The whole body, or why not; all of it must be there in time.
pub(crate) async fn read<B>(body: B, patience: Duration) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    if body.size_hint().lower() > CAP as u64 {
        return Err(BodyError::TooLarge);
    }
    tokio::time::timeout(patience, collect(body)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect<B>(body: B) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::Broken)?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > CAP {
            return Err(BodyError::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(15);

    /// A body that does not say how long it is.
    fn chunked(sizes: &[usize]) -> impl Body<Data = Bytes, Error = Infallible> {
        let frames: Vec<_> =
            sizes.iter().map(|size| Ok(Frame::data(Bytes::from(vec![b'a'; *size])))).collect();
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn exactly_the_cap_is_accepted_with_and_without_a_declared_length() {
        assert_eq!(read(Full::new(Bytes::from(vec![b'a'; CAP])), PATIENCE).await.unwrap().len(), CAP);
        assert_eq!(read(chunked(&[CAP - 1, 1, 0]), PATIENCE).await.unwrap().len(), CAP);
    }

    #[tokio::test]
    async fn one_byte_more_is_refused_with_and_without_a_declared_length() {
        assert_eq!(
            read(Full::new(Bytes::from(vec![b'a'; CAP + 1])), PATIENCE).await,
            Err(BodyError::TooLarge)
        );
        assert_eq!(read(chunked(&[CAP, 1]), PATIENCE).await, Err(BodyError::TooLarge));
        assert_eq!(read(chunked(&[10_000_000]), PATIENCE).await, Err(BodyError::TooLarge));
    }
}
