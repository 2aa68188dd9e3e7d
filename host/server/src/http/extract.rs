//! Extractors that report malformed requests as API errors, and the handlers of requests without a route.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Json, MatchedPath, OriginalUri, Path, Query, Request};
use http::request::Parts;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Map;

use crate::api::ApiError;
use crate::json::{FieldError, UniqueKeys, read_query, read_value};
use crate::root_cause::root_cause;

/// Extracts a JSON body. A malformed body becomes an [`ApiError`].
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Json(UniqueKeys(value)) = Json::from_request(request, state).await.map_err(json_error)?;
        let body = read_value(value).map_err(|error| ApiError::unprocessable(field_message("request body", &error)))?;
        Ok(Self(body))
    }
}

/// Extracts query parameters. Malformed parameters become an [`ApiError`].
pub struct QueryParams<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let pairs = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(pairs) = pairs
            .map_err(|error: QueryRejection| ApiError::new(error.status(), format!("query: {}", root_cause(&error))))?;
        let mut parameters = Map::new();
        for (name, value) in pairs {
            if parameters.insert(name.clone(), value.into()).is_some() {
                return Err(ApiError::bad_request(format!("query: `{name}` occurs twice")));
            }
        }
        let query = read_query(parameters).map_err(|error| ApiError::bad_request(field_message("query", &error)))?;
        Ok(Self(query))
    }
}

/// Extracts the parameter of a path. A malformed one becomes an [`ApiError`].
pub struct PathParam(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathParam {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        let message = "path: expected a name in percent-encoded UTF-8";
        let Path(name) = name.map_err(|error: PathRejection| ApiError::new(error.status(), message))?;
        Ok(Self(name))
    }
}

/// Adds what the error is about, if it names no field.
fn field_message(root: &str, error: &FieldError) -> String {
    if error.is_at_root() { format!("{root}: {error}") } else { error.to_string() }
}

fn json_error(rejection: JsonRejection) -> ApiError {
    let message = match &rejection {
        JsonRejection::MissingJsonContentType(_) => "expected the header `Content-Type: application/json`".to_owned(),
        JsonRejection::JsonSyntaxError(error) => format!("request body: invalid JSON: {}", root_cause(error)),
        other => format!("request body: {}", root_cause(other)),
    };
    // axum reports a repeated key as an error of the target type, with status 422. Here it is a syntax error, with
    // status 400.
    let is_data = matches!(rejection, JsonRejection::JsonDataError(_));
    ApiError::new(if is_data { StatusCode::BAD_REQUEST } else { rejection.status() }, message)
}

/// Handles requests for paths without a route.
pub async fn no_such_route(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::not_found(format!("no route matches `{}`; /openapi.json describes all routes", uri.path()))
}

/// Handles requests for a route with a method that it does not have. The header `Allow` lists its methods.
pub async fn no_such_method(method: Method, path: MatchedPath) -> ApiError {
    let message = format!("`{}` has no method {method}; /openapi.json describes all routes", path.as_str());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message)
}
