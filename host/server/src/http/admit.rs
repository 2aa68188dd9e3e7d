//! The route of admissions.

use axum::extract::State;
use tidegate::Host;

use super::describe::{BodyErrors, DeniedRequestOrError, ImpossibleCallOrError, UnknownPlatform};
use super::extract::JsonBody;
use crate::api::ApiError;
use crate::api::admit::{self, AdmitRequest, AdmitResponse, AllowedRequest};
use crate::api::limits::LimitedCall;

/// Evaluate the platform's admission policy for a request, and reserve tokens from every limit that applies.
///
/// The policy in `policies/admit` sets the cost of the request and its labels. The platform's limit applies, and every
/// other limit whose labels match. If one limit refuses the request, no limit takes tokens.
#[utoipa::path(post, path = "/v1/admit", operation_id = "admit", request_body = AdmitRequest, responses(
    (status = 200, description = "The request is allowed.", body = AllowedRequest), BodyErrors, UnknownPlatform,
    (status = 403, description = "Either the policy denies the request (`decision` is `denied`), or the server rejects \
        a request that may come from a web page (`error`).", body = DeniedRequestOrError),
    (status = 422, description = "Either the cost exceeds the burst of a limit, so the request can never be allowed \
        (`decision` is `never`), or a field is invalid (`error`).", body = ImpossibleCallOrError),
    (status = 429, description = "A limit refuses the request for now.", body = LimitedCall,
        headers(("Retry-After" = u64, description = "`retry_after_ms` in whole seconds, rounded up."))),
))]
pub async fn admit(
    State(host): State<Host>,
    JsonBody(request): JsonBody<AdmitRequest>,
) -> Result<AdmitResponse, ApiError> {
    admit::admit(&host, request).await
}
