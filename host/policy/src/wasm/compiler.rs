//! From bytes to a component: one compilation at a time, and none where the cache has the result.

use std::fmt::Write as _;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tidegate_core::config::PoliciesConfig;
use wasmtime::Engine;
use wasmtime::component::Component;
use wit_component::ComponentEncoder;

use super::cache::Cache;

/// Components that were compiled ahead of their loading, at most.
const AHEAD: usize = 4;

/// Compiles components.
pub struct Compiler {
    engine: Engine,
    cache: Option<Cache>,
    /// By hash; taken by whoever loads them.
    ahead: Mutex<Vec<(String, Result<Component, String>)>>,
}

impl Compiler {
    /// A compiler with the cache of the configuration.
    ///
    /// # Errors
    /// One sentence where the cache cannot be trusted or made.
    pub fn new(engine: Engine, config: &PoliciesConfig) -> Result<Self, String> {
        let cache = config.cache.as_ref().map(|dir| Cache::open(dir, config.cache_size, &engine)).transpose()?;
        Ok(Self { engine, cache, ahead: Mutex::default() })
    }

    /// The engine that components run on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The component in these bytes.
    ///
    /// # Errors
    /// One sentence that says what was expected and what the bytes are.
    pub fn component(&self, bytes: &[u8]) -> Result<Component, String> {
        let hash = hash(bytes);
        let mut ahead = self.ahead.lock();
        if let Some(at) = ahead.iter().position(|(known, _)| *known == hash) {
            return ahead.remove(at).1;
        }
        drop(ahead);
        self.find_or_compile(&hash, bytes)
    }

    /// Whether a component is compiled already.
    pub fn is_ready(&self, bytes: &[u8]) -> bool {
        let hash = hash(bytes);
        self.ahead.lock().iter().any(|(known, _)| *known == hash)
            || self.cache.as_ref().is_some_and(|cache| cache.has(&hash))
    }

    /// Compiles a component for whoever loads it next.
    pub fn prepare(&self, bytes: &[u8]) {
        let hash = hash(bytes);
        let component = self.find_or_compile(&hash, bytes);
        let mut ahead = self.ahead.lock();
        ahead.truncate(AHEAD - 1);
        ahead.insert(0, (hash, component));
    }

    fn find_or_compile(&self, hash: &str, bytes: &[u8]) -> Result<Component, String> {
        if let Some(found) = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, hash)) {
            return Ok(found);
        }
        let encoded = as_component(bytes)?;
        let component = Component::new(&self.engine, encoded.as_deref().unwrap_or(bytes))
            .map_err(|error| format!("is not a component that can run here: {error:#}"))?;
        if let Some(cache) = &self.cache {
            cache.store(hash, &component);
        }
        Ok(component)
    }
}

/// The component made of a core module; `None` where the bytes are a component already.
fn as_component(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => Ok(None),
        Some(b"\0asm\x01\0\0\0") => ComponentEncoder::default()
            .validate(true)
            .module(bytes)
            .and_then(|mut encoder| encoder.encode())
            .map(Some)
            .map_err(|error| {
                format!("expected a Wasm component, or a core module with a component's metadata: {error:#}")
            }),
        _ => Err("expected a Wasm component; the bytes do not begin as one".to_owned()),
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}
