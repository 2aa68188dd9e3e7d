//! Bodies whose beginning can be inspected before they are forwarded.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

/// An error of a service or of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of the requests and responses of a [`TidegateLayer`](super::TidegateLayer). It is `Send`, but not `Sync`.
pub struct Body(UnsyncBoxBody<Bytes, BoxError>);

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

impl Body {
    /// Wraps any body.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }

    /// Creates a body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(Empty::new())
    }
}

impl Default for Body {
    /// Creates a body without bytes.
    fn default() -> Self {
        Self::empty()
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    /// Creates a body from bytes.
    fn from(bytes: T) -> Self {
        Self::new(Full::new(bytes.into()))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// The result of reading the beginning of a body.
pub enum BodyPrefix {
    /// The whole body.
    Complete(Bytes),
    /// A body that is longer than the limit or has trailers.
    Partial {
        /// The bytes that were read.
        read: Bytes,
        /// The whole body: these bytes, followed by the rest.
        body: Body,
    },
}

impl BodyPrefix {
    fn partial(read: Bytes, frame: Option<Frame<Bytes>>, rest: Body) -> Self {
        Self::Partial { read: read.clone(), body: Body::new(ResumedBody::new(read, frame, rest)) }
    }
}

/// Reads a body until it ends or exceeds `limit` bytes.
pub async fn read_prefix(mut body: Body, limit: usize) -> Result<BodyPrefix, BoxError> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => read.extend_from_slice(&data),
            Err(trailers) => {
                return Ok(BodyPrefix::partial(read.freeze(), Some(trailers), body));
            }
        }
        if read.len() > limit {
            return Ok(BodyPrefix::partial(read.freeze(), None, body));
        }
    }
    Ok(BodyPrefix::Complete(read.freeze()))
}

/// The bytes that were read, the frame that ended the reading, and the rest of the body.
struct ResumedBody {
    read: Option<Bytes>,
    frame: Option<Frame<Bytes>>,
    rest: Body,
}

impl ResumedBody {
    fn new(read: Bytes, frame: Option<Frame<Bytes>>, rest: Body) -> Self {
        Self { read: Some(read), frame, rest }
    }
}

impl http_body::Body for ResumedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(read) = self.read.take().filter(|read| !read.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        match self.frame.take() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.size_hint(), SizeHint::new());
        let read = self.read.as_ref().map_or(0, |read| read.len() as u64);
        hint.set_lower(rest.lower() + read);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint
    }
}
