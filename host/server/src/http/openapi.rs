//! The OpenAPI document, which describes every route for people and for client generators.

use std::sync::LazyLock;

use http::HeaderName;
use http::header::CONTENT_TYPE;
use utoipa::openapi::path::PathItem;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, License, Ref, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use crate::api::ErrorBody;

/// The JSON text of the document. It is created when it is requested first.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut guarded = super::guarded_routes();
    describe_authorization(guarded.get_openapi_mut());
    let document = super::open_routes().merge(guarded).into_openapi();
    document.to_json().unwrap_or_default()
});

/// The parts of the document that do not belong to a route.
#[derive(OpenApi)]
#[openapi(
    info(title = "tidegate", description = "Rate limits, retry advice, locks, metrics and alerts for workers in any \
        language.\n\nA worker repeats three steps: acquire, call, report. If the advice on a failed call is `retry`, the \
        worker sleeps for `delay_ms` and acquires again. All times are in milliseconds. An error response has the body \
        `{\"error\": \"message\"}`. If a token is configured (required to listen on an address other than loopback), every route except \
        /healthz and /openapi.json requires it as a bearer token. Closing the connection cancels a waiting request and \
        returns its tokens. Every response has the header `x-request-id`: the id that the request sent in the same \
        header, or a new one."),
    components(schemas(ErrorBody)),
    security(("bearer" = [])),
    modifiers(&CommonParts),
)]
pub struct Document;

/// Adds what the attributes of [`OpenApi`] cannot express.
struct CommonParts;

impl Modify for CommonParts {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut license = License::new("Apache-2.0");
        license.identifier = Some("Apache-2.0".to_owned());
        document.info.license = Some(license);
        document.info.contact = None;
        let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", bearer);
    }
}

/// Adds the responses of [`super::auth`] to every route. A route that describes the same status itself keeps its own
/// description.
fn describe_authorization(document: &mut utoipa::openapi::OpenApi) {
    let responses = [
        ("401", error_response("The bearer token is missing or wrong.")),
        ("403", error_response("The server has no token, and the request may come from a web page.")),
    ];
    let operations = document.paths.paths.values_mut().flat_map(|item| {
        let PathItem { get, put, post, delete, patch, .. } = item;
        [get, put, post, delete, patch].into_iter().flatten()
    });
    for operation in operations {
        for (status, response) in &responses {
            operation.responses.responses.entry((*status).to_owned()).or_insert_with(|| response.clone().into());
        }
    }
}

fn error_response(description: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Error")));
    ResponseBuilder::new().description(description).content("application/json", content).build()
}

/// Get this document.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", security(()), responses(
    (status = 200, description = "This document, in OpenAPI 3.1.", body = Object, content_type = "application/json"),
))]
pub async fn document() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(CONTENT_TYPE, "application/json")], &DOCUMENT)
}
