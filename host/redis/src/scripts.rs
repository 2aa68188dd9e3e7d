//! The names by which servers know scripts.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tidegate_lua::Script;

/// The hash of each script, computed when it is first run.
#[derive(Default)]
pub struct Hashes(RwLock<HashMap<&'static str, Arc<str>>>);

impl Hashes {
    /// The hash of a script's text, in hexadecimal form.
    pub fn of(&self, script: &Script) -> Arc<str> {
        if let Some(hash) = self.0.read().get(script.name) {
            return Arc::clone(hash);
        }
        let hash: Arc<str> = redis::Script::new(script.text).get_hash().into();
        self.0.write().insert(script.name, Arc::clone(&hash));
        hash
    }
}
