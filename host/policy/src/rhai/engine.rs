//! Creates the Rhai engines: the language and library that scripts can use, and the limits on their resources.

use std::sync::Arc;

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, OptimizationLevel, Position};
use tidegate_core::config::PolicyLimits;

use super::contract::FunctionArities;
use super::functions;
use super::run::tick;
use super::values::host_error;

/// The maximum nesting of an expression outside of functions.
pub const MAX_EXPR_DEPTH: usize = 64;
/// The maximum nesting of an expression in a function.
pub const MAX_FUNCTION_EXPR_DEPTH: usize = 32;
/// The maximum number of variables that exist at the same time.
pub const MAX_VARIABLES: usize = 128;
/// The maximum number of functions that a script defines.
pub const MAX_FUNCTIONS: usize = 64;

/// An engine that scripts share, and the functions that they can call.
#[derive(Clone)]
pub struct ScriptEngine {
    /// The engine.
    pub engine: Arc<Engine>,
    /// The functions of the engine.
    pub functions: Arc<FunctionArities>,
}

/// Creates an engine. Its limits are the same in debug and release builds.
#[must_use]
pub fn new_engine(limits: &PolicyLimits) -> Engine {
    let mut engine = Engine::new_raw();
    register_packages(&mut engine);
    engine
        // The optimizer removes dead branches together with their mistakes, so it runs only after the checks.
        .set_optimization_level(OptimizationLevel::None)
        .set_strict_variables(true)
        // Reading a missing key is a mistake, and adding keys would circumvent the limit on the size of maps.
        .on_map_missing_property(|_, key, _| {
            Err(host_error(format!("unknown key {key:?}; a map has only the keys of its literal")))
        })
        .set_max_operations(limits.max_operations)
        .set_max_call_levels(limits.max_call_depth)
        .set_max_expr_depths(MAX_EXPR_DEPTH, MAX_FUNCTION_EXPR_DEPTH)
        .set_max_string_size(limits.max_string_size)
        // The time of the slowest operation, comparing nested arrays, grows with the square of their length.
        .set_max_array_size(limits.max_collection_size)
        .set_max_map_size(limits.max_collection_size)
        .set_max_variables(MAX_VARIABLES)
        .set_max_functions(MAX_FUNCTIONS)
        .set_max_modules(0)
        // All threads share one lock on the table of interned strings.
        .set_max_strings_interned(0)
        .disable_symbol("eval")
        .disable_symbol("import")
        .disable_symbol("export")
        // Copying a curried function copies its arguments and counts as no operation, so repeated currying doubles
        // the memory each time.
        .disable_symbol("curry")
        .on_progress(|_| tick().then_some(Dynamic::UNIT))
        .on_print(|text| tracing::debug!(target: "tidegate::policy", text, "policy message"))
        .on_debug(|text, _, position| {
            tracing::debug!(target: "tidegate::policy", text, ?position, "policy message");
        });
    limit_replace(&mut engine, limits.max_string_size);
    limit_splits(&mut engine, limits.max_collection_size);
    functions::register(&mut engine);
    engine
}

/// Registers the standard library, without the functions that read the clock, sleep, access files or handle bytes.
fn register_packages(engine: &mut Engine) {
    ArithmeticPackage::new().register_into_engine(engine);
    BasicArrayPackage::new().register_into_engine(engine);
    BasicFnPackage::new().register_into_engine(engine);
    BasicIteratorPackage::new().register_into_engine(engine);
    BasicMapPackage::new().register_into_engine(engine);
    BasicMathPackage::new().register_into_engine(engine);
    BasicStringPackage::new().register_into_engine(engine);
    LogicPackage::new().register_into_engine(engine);
    MoreStringPackage::new().register_into_engine(engine);
}

/// Replaces the library's `replace`, which builds its whole result before its size is checked: two strings of 64 KiB
/// would give a result of 4 GiB.
fn limit_replace(engine: &mut Engine, max_size: usize) {
    let replace = move |text: &mut ImmutableString, find: &str, with: &str| -> Result<(), Box<EvalAltResult>> {
        let size = text.len() + text.matches(find).count() * with.len();
        if size > max_size {
            return Err(Box::new(EvalAltResult::ErrorDataTooLarge("Length of string".to_owned(), Position::NONE)));
        }
        *text = text.replace(find, with).into();
        Ok(())
    };
    engine.register_fn("replace", replace);
    engine.register_fn("replace", move |text: &mut ImmutableString, find: char, with: &str| {
        replace(text, find.encode_utf8(&mut [0; 4]), with)
    });
}

/// Replaces the library's functions that split strings, which create all pieces before they are counted: a string of
/// 64 KiB would become 65,536 strings.
fn limit_splits(engine: &mut Engine, max_pieces: usize) {
    // One piece above the limit is enough: the engine then rejects the array.
    fn pieces<T: Into<Dynamic>>(all: impl Iterator<Item = T>, max_pieces: usize) -> Array {
        all.take(max_pieces + 1).map(Into::into).collect()
    }
    let at_least_one = |segments: i64| usize::try_from(segments).unwrap_or(0).max(1);
    engine
        .register_fn("to_chars", move |text: &str| pieces(text.chars(), max_pieces))
        .register_fn("split", move |text: &str| match text {
            "" => pieces([""].into_iter(), max_pieces),
            text => pieces(text.split_whitespace(), max_pieces),
        })
        .register_fn("split", move |text: &str, by: &str| pieces(text.split(by), max_pieces))
        .register_fn("split", move |text: &str, by: char| pieces(text.split(by), max_pieces))
        .register_fn("split_rev", move |text: &str, by: &str| pieces(text.rsplit(by), max_pieces))
        .register_fn("split_rev", move |text: &str, by: char| pieces(text.rsplit(by), max_pieces))
        .register_fn("split", move |text: &str, by: &str, n: i64| pieces(text.splitn(at_least_one(n), by), max_pieces))
        .register_fn("split", move |text: &str, by: char, n: i64| pieces(text.splitn(at_least_one(n), by), max_pieces))
        .register_fn("split_rev", move |text: &str, by: &str, n: i64| {
            pieces(text.rsplitn(at_least_one(n), by), max_pieces)
        })
        .register_fn("split_rev", move |text: &str, by: char, n: i64| {
            pieces(text.rsplitn(at_least_one(n), by), max_pieces)
        });
}
