//! Validates JSON values by the part of JSON Schema that the OpenAPI document uses.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// The keywords that have no effect on validation.
const ANNOTATIONS: [&str; 7] = ["description", "title", "default", "examples", "example", "format", "propertyNames"];

const REFERENCE: &str = "#/components/schemas/";

/// Returns the schema to which a reference refers. Other schemas are returned as they are.
pub fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let Some(name) = schema["$ref"].as_str() else { return schema };
    let name = name.strip_prefix(REFERENCE).unwrap_or_else(|| panic!("{name}"));
    document["components"]["schemas"].get(name).unwrap_or_else(|| panic!("{name} is not defined"))
}

/// Returns the names of all schemas to which the document refers.
pub fn referenced(document: &Value) -> BTreeSet<String> {
    match document {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix(REFERENCE));
            fields.values().flat_map(referenced).chain(own.map(str::to_owned)).collect()
        }
        Value::Array(items) => items.iter().flat_map(referenced).collect(),
        _ => BTreeSet::new(),
    }
}

/// Fails unless a value is valid, and every field of its objects is described.
pub fn assert_valid(document: &Value, schema: &Value, value: &Value, about: &str) {
    let messages = violations(document, schema, value, "value");
    assert!(schema.is_object() && messages.is_empty(), "{about}: {messages:?}: {value}: {schema}");
}

fn violations(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let schema = resolve(document, schema);
    let mut messages = Vec::new();
    for (keyword, expected) in schema.as_object().into_iter().flatten() {
        let number = |holds: fn(f64, f64) -> bool| value.as_f64().is_none_or(|n| holds(n, expected.as_f64().unwrap()));
        let is_valid = match keyword.as_str() {
            "type" => match expected.as_array() {
                Some(types) => types.iter().any(|name| has_type(value, name)),
                None => has_type(value, expected),
            },
            "enum" => expected.as_array().unwrap().contains(value),
            "minimum" => number(|n, least| n >= least),
            "maximum" => number(|n, most| n <= most),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= expected.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= expected.as_u64().unwrap()),
            "oneOf" | "anyOf" => {
                let mut schemas = expected.as_array().unwrap().iter();
                schemas.any(|schema| violations(document, schema, value, at).is_empty())
            }
            "required" => expected.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "items" => {
                let items = value.as_array().into_iter().flatten();
                messages.extend(items.flat_map(|item| violations(document, expected, item, at)));
                true
            }
            "properties" | "additionalProperties" => true,
            other => {
                assert!(ANNOTATIONS.contains(&other), "this validator does not know {other}: {schema}");
                true
            }
        };
        if !is_valid {
            messages.push(format!("{at}: {value} is not valid: {keyword} {expected}"));
        }
    }
    messages.extend(value.as_object().into_iter().flat_map(|fields| field_violations(document, schema, fields)));
    messages
}

fn field_violations(document: &Value, schema: &Value, fields: &Map<String, Value>) -> Vec<String> {
    let additional = &schema["additionalProperties"];
    // An object without any description of its fields may have every field.
    if schema.get("properties").is_none() && !additional.is_object() {
        return Vec::new();
    }
    let violations = fields.iter().flat_map(|(name, value)| match schema["properties"].get(name) {
        Some(property) => violations(document, property, value, name),
        None if additional.is_object() => violations(document, additional, value, name),
        None => vec![format!("{name} is not described")],
    });
    violations.collect()
}

fn has_type(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    }
}

#[test]
fn invalid_values_are_found() {
    let document = json!({ "components": { "schemas": { "Name": { "type": "string", "enum": ["a", "b"] } } } });
    let schema = json!({
        "type": "object",
        "properties": {
            "name": { "description": "A name.", "$ref": "#/components/schemas/Name" },
            "count": { "type": ["integer", "null"], "minimum": 1 },
            "list": { "type": "array", "items": { "type": "boolean" } },
            "map": { "type": "object", "additionalProperties": { "type": "number" } },
            "either": { "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Name" }] },
        },
        "required": ["name"],
    });
    let valid = json!({ "name": "a", "count": null, "list": [true], "map": { "x": 1.5 }, "either": "b" });
    assert_valid(&document, &schema, &valid, "a valid value");
    let rows = [
        json!([]),
        json!({}),
        json!({ "name": "c" }),
        json!({ "name": "a", "other": 1 }),
        json!({ "name": "a", "count": 0 }),
        json!({ "name": "a", "count": 1.5 }),
        json!({ "name": "a", "list": [1] }),
        json!({ "name": "a", "map": { "x": "y" } }),
        json!({ "name": "a", "either": "c" }),
    ];
    for value in rows {
        assert!(!violations(&document, &schema, &value, "value").is_empty(), "{value}");
    }
}
