//! Bodies that can be looked into and still be sent on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

/// Any error of a service or a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of requests and answers on both sides of the layer.
pub struct Body(UnsyncBoxBody<Bytes, BoxError>);

impl Body {
    /// Any body in a box.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    /// A body that is there whole.
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

/// The beginning of a body.
pub enum Head {
    /// All of it.
    Whole(Bytes),
    /// It is longer than the limit, or carries trailers: what was read, and then the rest.
    Longer(Body),
}

/// Reads a body up to `limit` bytes.
pub async fn head(mut body: Body, limit: usize) -> Result<Head, BoxError> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => read.extend_from_slice(&data),
            Err(trailers) => return Ok(Head::Longer(Body::new(Chained::new(read.freeze(), Some(trailers), body)))),
        }
        if read.len() > limit {
            return Ok(Head::Longer(Body::new(Chained::new(read.freeze(), None, body))));
        }
    }
    Ok(Head::Whole(read.freeze()))
}

/// What was read, a frame that ended the reading, and the rest.
struct Chained {
    read: Option<Bytes>,
    frame: Option<Frame<Bytes>>,
    rest: Body,
}

impl Chained {
    fn new(read: Bytes, frame: Option<Frame<Bytes>>, rest: Body) -> Self {
        Self { read: Some(read), frame, rest }
    }
}

impl http_body::Body for Chained {
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
