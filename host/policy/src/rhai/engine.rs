//! The engines: what scripts may use, and how far they may go.

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, OptimizationLevel, Position};
use tidegate_core::config::Bounds;

use super::run::is_over;

/// An engine whose limits are the same in debug and release builds.
pub fn new(bounds: &Bounds) -> Engine {
    let mut engine = Engine::new_raw();
    register_packages(&mut engine);
    engine
        // Unoptimised until the script was checked: the optimiser drops branches together with their mistakes.
        .set_optimization_level(OptimizationLevel::None)
        .set_strict_variables(true)
        // A key that is missing is a mistake when read, and assigning new ones is a way around the limit on sizes.
        .on_map_missing_property(|_, key, _| {
            let message = format!("no such key {key:?}; a map keeps the keys it was written with");
            Err(Box::new(EvalAltResult::ErrorRuntime(message.into(), Position::NONE)))
        })
        .set_max_operations(bounds.max_operations)
        .set_max_call_levels(bounds.max_depth)
        .set_max_expr_depths(64, 32)
        .set_max_string_size(bounds.max_text)
        // The longest single operation, comparing lists in lists, grows with the square of their length.
        .set_max_array_size(bounds.max_items)
        .set_max_map_size(bounds.max_items)
        .set_max_variables(128)
        .set_max_functions(64)
        .set_max_modules(0)
        // The table of interned texts is behind one lock for all threads.
        .set_max_strings_interned(0)
        .disable_symbol("eval")
        .disable_symbol("import")
        .disable_symbol("export")
        // Copies of curried functions are deep and count as no operation: each doubles the one before.
        .disable_symbol("curry")
        .on_progress(|_| is_over().then_some(Dynamic::UNIT))
        .on_print(|text| tracing::debug!(target: "tidegate::policy", "{text}"))
        .on_debug(|text, _, position| tracing::debug!(target: "tidegate::policy", ?position, "{text}"));
    bound_replace(&mut engine, bounds.max_text);
    bound_pieces(&mut engine, bounds.max_items);
    super::common::register(&mut engine);
    super::retry::register(&mut engine);
    super::admit::register(&mut engine);
    engine
}

/// All of the standard library but what reads the clock, sleeps, leaves the script or handles bytes.
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

/// The library's `replace` builds its whole answer before the size is checked: two texts of 64 KiB make 4 GiB.
fn bound_replace(engine: &mut Engine, most: usize) {
    let replace = move |text: &mut ImmutableString, find: &str, with: &str| -> Result<(), Box<EvalAltResult>> {
        let size = text.len() + text.matches(find).count() * with.len();
        if size > most {
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

/// The library's splitting makes all pieces before they are counted: of a text of 64 KiB as many texts.
fn bound_pieces(engine: &mut Engine, most: usize) {
    // One more than there may be is refused as all of them would be.
    fn pieces<T: Into<Dynamic>>(all: impl Iterator<Item = T>, most: usize) -> Array {
        all.take(most + 1).map(Into::into).collect()
    }
    let at_least_one = |segments: i64| usize::try_from(segments).unwrap_or(0).max(1);
    engine
        .register_fn("to_chars", move |text: &str| pieces(text.chars(), most))
        .register_fn("split", move |text: &str| match text {
            "" => pieces([""].into_iter(), most),
            text => pieces(text.split_whitespace(), most),
        })
        .register_fn("split", move |text: &str, by: &str| pieces(text.split(by), most))
        .register_fn("split", move |text: &str, by: char| pieces(text.split(by), most))
        .register_fn("split_rev", move |text: &str, by: &str| pieces(text.rsplit(by), most))
        .register_fn("split_rev", move |text: &str, by: char| pieces(text.rsplit(by), most))
        .register_fn("split", move |text: &str, by: &str, n: i64| pieces(text.splitn(at_least_one(n), by), most))
        .register_fn("split", move |text: &str, by: char, n: i64| pieces(text.splitn(at_least_one(n), by), most))
        .register_fn("split_rev", move |text: &str, by: &str, n: i64| pieces(text.rsplitn(at_least_one(n), by), most))
        .register_fn("split_rev", move |text: &str, by: char, n: i64| pieces(text.rsplitn(at_least_one(n), by), most));
}
