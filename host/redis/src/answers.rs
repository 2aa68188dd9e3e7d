//! Arguments on their way to scripts, and answers on their way back.

use redis::{FromRedisValue, Value};
use tidegate_core::StoreError;

/// An answer as values of ours.
pub fn understood<T: FromRedisValue>(asked: &str, answer: Value) -> Result<T, StoreError> {
    redis::from_redis_value(answer)
        .map_err(|error| StoreError::refused(format!("{asked} answered what this version does not read: {error}")))
}

/// An argument of a script.
pub fn text(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}
