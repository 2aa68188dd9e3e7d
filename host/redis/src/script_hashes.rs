//! The SHA-1 hashes by which `EVALSHA` names scripts.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tidegate_lua::Script;

/// A cache of script hashes; each hash is computed when its script first runs.
#[derive(Default)]
pub struct ScriptHashes(RwLock<HashMap<&'static str, Arc<str>>>);

impl ScriptHashes {
    /// Returns the hash of a script's text in hexadecimal.
    pub fn get(&self, script: &Script) -> Arc<str> {
        if let Some(hash) = self.0.read().get(script.name) {
            return Arc::clone(hash);
        }
        let hash: Arc<str> = redis::Script::new(script.text).get_hash().into();
        self.0.write().insert(script.name, Arc::clone(&hash));
        hash
    }
}
