//! Parameters and error responses that several routes share, as the OpenAPI document describes them.
#![allow(dead_code, reason = "the attributes of the routes name the types; nothing creates their values")]

use serde::Serialize;
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::api::ErrorBody;
use crate::api::admit::DeniedRequest;
use crate::api::limits::ImpossibleCall;

/// The path of one limit.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct LimitPath {
    /// The name of a limit, such as a platform.
    #[param(example = "taobao")]
    platform: String,
}

/// The path of one lock.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct LockPath {
    /// The name of the lock, percent-encoded: 1 to 200 bytes without control characters.
    #[param(example = "orders:taobao", min_length = 1)]
    name: String,
}

/// The error responses of every request with a JSON body.
#[derive(IntoResponses)]
pub enum BodyErrors {
    /// The body is not valid JSON, or a value is invalid. The error says what was expected.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// The body is larger than 2 MiB.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The header `Content-Type` is not `application/json`.
    #[response(status = 415)]
    NotJson(ErrorBody),
    /// A field is missing, unknown or of the wrong type.
    #[response(status = 422)]
    Field(ErrorBody),
}

/// The name in the path is not percent-encoded UTF-8.
#[derive(IntoResponses)]
#[response(status = 400)]
pub struct InvalidName(ErrorBody);

/// A query parameter is missing or invalid. The error says what was expected.
#[derive(IntoResponses)]
#[response(status = 400)]
pub struct InvalidQuery(ErrorBody);

/// The platform is unknown. The error lists the known platforms.
#[derive(IntoResponses)]
#[response(status = 404)]
pub struct UnknownPlatform(ErrorBody);

/// Redis is unavailable, and the request cannot be answered without it.
#[derive(IntoResponses)]
#[response(status = 503)]
pub struct RedisUnavailable(ErrorBody);

/// A cost that exceeds the burst, or an invalid field.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum ImpossibleCallOrError {
    /// The cost exceeds the burst.
    Never(ImpossibleCall),
    /// A field is missing, unknown or of the wrong type.
    Error(ErrorBody),
}

/// A request that the policy denies, or that may come from a web page.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum DeniedRequestOrError {
    /// The policy denies the request.
    Denied(DeniedRequest),
    /// The request may come from a web page.
    Error(ErrorBody),
}
