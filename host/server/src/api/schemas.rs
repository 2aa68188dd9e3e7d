//! Schemas of fields with a fixed set of values, and of headers. Client generators create enums for them.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

/// The decision on a call that is allowed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AllowedDecision {
    /// The call is allowed.
    Allowed,
}

/// The decision on a call that is refused for now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitedDecision {
    /// The limit refuses the call for now.
    Limited,
}

/// The decision on a call that can never be allowed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NeverDecision {
    /// The limit can never allow the call.
    Never,
}

/// The decision on a request that the policy denies.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeniedDecision {
    /// The policy denies the request.
    Denied,
}

/// The class of a failure.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case", as = Class)]
pub enum ClassName {
    /// Too many calls at the moment.
    Throttled,
    /// The daily quota is used up.
    Quota,
    /// A temporary error of the platform.
    Transient,
    /// The credentials are invalid.
    Auth,
    /// The call itself is invalid.
    Permanent,
}

/// The outcome of a call.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case", as = Outcome)]
pub enum OutcomeName {
    /// The call succeeded.
    Success,
    /// The call failed.
    Error,
    /// A limit refused the call, and it was not sent.
    Limited,
}

/// The kind of a failure.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case", as = FailureKind)]
pub enum FailureKindName {
    /// No response within the timeout.
    Timeout,
    /// The connection failed.
    Connection,
    /// The response is an error.
    Response,
}

/// The severity of an alert rule.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case", as = Severity)]
pub enum SeverityName {
    /// For information; needs no action.
    Info,
    /// Needs attention within the day.
    Warning,
    /// Needs attention at once, at any hour.
    Critical,
}

/// The change of an alert that a notification reports.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case", as = Transition)]
pub enum TransitionName {
    /// The rule fires.
    Firing,
    /// The rule still fires after the cooldown.
    StillFiring,
    /// The condition no longer holds.
    Resolved,
}

/// The state of an active alert.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case", as = AlertState)]
pub enum AlertStateName {
    /// The condition holds, but not yet for as long as the rule requires.
    Pending,
    /// The rule fires.
    Firing,
}

/// Returns the schema of the headers of a failed call: an object, or a list of pairs.
pub fn failure_headers() -> RefOr<Schema> {
    let text = || RefOr::T(Schema::from(ObjectBuilder::new().schema_type(SchemaType::Type(Type::String))));
    let table = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Object)).additional_properties(Some(text()));
    let pair = ArrayBuilder::new().items(text()).min_items(Some(2)).max_items(Some(2));
    let description = "Selected response headers: an object, or a list of pairs if a name can occur twice.";
    let headers = AnyOfBuilder::new().item(table).item(ArrayBuilder::new().items(pair)).description(Some(description));
    RefOr::T(Schema::AnyOf(headers.build()))
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};
    use tidegate::{Class, FailureKind, Outcome};
    use tidegate_core::{Severity, Transition};
    use utoipa::PartialSchema;

    use super::*;

    /// Returns the names of a schema, after a check that they are names of the type `T`.
    fn names<S: PartialSchema, T: Serialize + DeserializeOwned>() -> Vec<Value> {
        let schema = serde_json::to_value(S::schema()).unwrap();
        let names = schema["enum"].as_array().unwrap().clone();
        names.iter().for_each(|name| assert_eq!(json!(serde_json::from_value::<T>(name.clone()).unwrap()), *name));
        names
    }

    #[test]
    fn schemas_contain_the_names_of_the_types() {
        assert_eq!(names::<ClassName, Class>().len(), Class::ALL.len());
        assert_eq!(names::<OutcomeName, Outcome>().len(), Outcome::ALL.len());
        assert_eq!(names::<FailureKindName, FailureKind>().len(), FailureKind::ALL.len());
        assert_eq!(names::<SeverityName, Severity>().len(), Severity::ALL.len());
        assert_eq!(names::<TransitionName, Transition>().len(), Transition::ALL.len());
    }
}
