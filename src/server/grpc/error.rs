//! Why a call fails, as the headers or trailers that say so.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::Response;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::reply;
use crate::base::grpc::{GrpcCode, encoded_message};
use crate::server::body::Body;

/// Why a call fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct CallError {
    pub(super) code: GrpcCode,
    pub(super) message: Cow<'static, str>,
}

impl CallError {
    /// A call that fails with `code`, and says why.
    pub(super) fn new(code: GrpcCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// An answer without a message: head and trailers are one.
    pub(super) fn into_response(self) -> Response<Body> {
        reply(self.headers(), Body::full(Bytes::new()))
    }

    /// As headers or trailers.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = status(self.code);
        if let Ok(message) = HeaderValue::try_from(encoded_message(&self.message)) {
            headers.insert(HeaderName::from_static("grpc-message"), message);
        }
        headers
    }
}

/// The trailers of a call that ends so.
pub(super) fn status(ended: GrpcCode) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from(ended as u16))])
}
