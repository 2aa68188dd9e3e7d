use proptest::prelude::*;

use super::*;

fn diagnostics(text: &str, read_top: impl FnOnce(&mut Section<'_>)) -> Vec<String> {
    let result = read(text, |top| {
        read_top(top);
        Some(())
    });
    result.err().iter().flatten().map(ToString::to_string).collect()
}

/// Returns the only diagnostic of a text.
fn diagnostic(text: &str, read_top: impl FnOnce(&mut Section<'_>)) -> String {
    let mut diagnostics = diagnostics(text, read_top);
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    diagnostics.remove(0)
}

#[test]
fn value_of_wrong_type_is_reported_by_type_and_never_shown() {
    let cases = [
        ("x = 12345", "1:5: x: expected a string in quotes, found an integer"),
        ("x = 1.5", "1:5: x: expected a string in quotes, found a float"),
        ("x = true", "1:5: x: expected a string in quotes, found a boolean"),
        ("x = 1979-05-27", "1:5: x: expected a string in quotes, found a date or time"),
        ("x = [\"hunter2\"]", "1:5: x: expected a string in quotes, found a list"),
        ("x = { y = \"hunter2\" }", "1:5: x: expected a string in quotes, found a table"),
    ];
    for (text, expected) in cases {
        assert_eq!(
            diagnostic(text, |top| {
                top.optional("x", string);
            }),
            expected
        );
    }
}

#[test]
fn number_outside_its_range_is_rejected() {
    let read_integer = |text: &str| {
        diagnostics(text, |top| {
            top.optional("x", integer(1..=10));
        })
    };
    for text in ["x = 1", "x = 10", "x = 0xA", "x = 1_0"] {
        assert!(read_integer(text).is_empty(), "{text}");
    }
    for (text, value) in [("x = 0", "0"), ("x = 11", "11"), ("x = -1", "-1")] {
        assert_eq!(read_integer(text), [format!("1:5: x: expected a whole number from 1 to 10, found {value}")]);
    }
    let read_number = |text: &str| {
        diagnostics(text, |top| {
            top.optional("x", number(0.0..=1.0));
        })
    };
    for text in ["x = 0", "x = 0.0", "x = 1", "x = 1.0"] {
        assert!(read_number(text).is_empty(), "{text}");
    }
    for (text, value) in [("x = -0.1", "-0.1"), ("x = 2", "2"), ("x = nan", "nan"), ("x = inf", "inf")] {
        assert_eq!(read_number(text), [format!("1:5: x: expected a number from 0 to 1, found {value}")]);
    }
}

#[test]
fn every_wrong_element_of_a_list_is_reported_at_its_position() {
    let diagnostics = diagnostics("x = [1, \"a\",\n  true]", |top| {
        top.optional("x", list(string));
    });
    let expected = "x: expected a string in quotes, found";
    assert_eq!(diagnostics, [format!("1:6: {expected} an integer"), format!("2:3: {expected} a boolean")]);
}

#[test]
fn columns_count_characters() {
    let diagnostic = diagnostic("x = { \"速度\" = 'é', n = 5 }", |top| {
        let mut table = top.table("x").unwrap();
        table.allow_unknown_keys();
        table.optional("n", string);
    });
    assert_eq!(diagnostic, "1:23: x.n: expected a string in quotes, found an integer");
}

#[test]
fn unknown_key_gets_the_most_similar_key_or_all_keys_as_a_suggestion() {
    let read_top = |top: &mut Section<'_>| {
        top.optional("cooldown", string);
        top.optional("for", string);
    };
    assert_eq!(diagnostic("coolodwn = 1", read_top), "1:1: unknown key `coolodwn` (did you mean `cooldown`?)");
    assert_eq!(diagnostic("  fro = 1", read_top), "1:3: unknown key `fro` (did you mean `for`?)");
    assert_eq!(diagnostic("severity = 1", read_top), "1:1: unknown key `severity`; expected one of `cooldown`, `for`");
    assert_eq!(diagnostic("x = 1", |_| ()), "1:1: unknown key `x`; none is defined");
}

#[test]
fn value_in_place_of_a_table_is_rejected_with_the_path_of_the_table() {
    let read_top = |top: &mut Section<'_>| {
        for (_, mut channel) in top.tables("channels") {
            channel.required("kind", string);
        }
    };
    assert_eq!(diagnostic("[channels.ops]\n", read_top), "1:11: channels.ops: `kind` is missing");
    assert_eq!(
        diagnostic("[channels]\nops = 5", read_top),
        "2:7: channels.ops: expected a table `[channels.ops]`, found an integer"
    );
    assert_eq!(diagnostic("channels = 5", read_top), "1:12: channels: expected a table `[channels]`, found an integer");
    assert_eq!(diagnostics("channels.ops.kind = \"log\"", read_top), [""; 0], "dotted keys make the same tables");
}

#[test]
fn syntax_errors_are_reported_together_with_the_mistakes_of_valid_lines() {
    let diagnostics = diagnostics("a = \"x\nb = 5\n[c\nd = 1\ne = 1\n", |top| {
        top.required("a", string);
        top.required("b", string);
        top.required("missing", string);
    });
    let has = |start: &str| diagnostics.iter().any(|diagnostic| diagnostic.starts_with(start));
    assert!(diagnostics[0].starts_with("1:7: invalid TOML: "), "{diagnostics:#?}");
    assert!(
        diagnostics.contains(&"2:5: b: expected a string in quotes, found an integer".to_owned()),
        "{diagnostics:#?}"
    );
    assert!(has("3:3: invalid TOML: "), "{diagnostics:#?}");
    let missing = diagnostics.iter().any(|diagnostic| diagnostic.contains("missing"));
    assert!(!missing, "the key may be on a line that cannot be parsed: {diagnostics:#?}");
}

#[test]
fn duplicate_key_is_reported() {
    let diagnostic = diagnostic("a = 1\na = 2", |top| {
        top.optional("a", integer(0..=9));
    });
    assert_eq!(diagnostic, "2:1: invalid TOML: duplicate key");
}

/// Checks the position of each character of a string, written as `line:column`.
#[track_caller]
fn assert_positions(toml: &str, value: &str, expected: &str) {
    let text = read(toml, |top| top.required("x", spanned_string)).unwrap();
    assert_eq!(text.value, value, "{toml}");
    let lines = text.value.split_inclusive('\n').enumerate();
    let cells = lines.flat_map(|(line, text)| (0..text.chars().count()).map(move |column| (line + 1, column + 1)));
    let positions: Vec<_> = cells.map(|(line, column)| text.position(line, column)).collect();
    let positions: Vec<_> = positions.iter().map(|at| format!("{}:{}", at.line, at.column)).collect();
    assert_eq!(positions.join(" "), expected, "{toml}");
}

#[test]
fn every_character_of_a_string_has_its_position_in_the_file_with_any_quotes() {
    assert_positions("x = \"ab\"", "ab", "1:6 1:7");
    assert_positions("x = 'ab'", "ab", "1:6 1:7");
    assert_positions("x = 'a\\b'", "a\\b", "1:6 1:7 1:8");
    assert_positions(r#"x = "a\"b\u00e9c\n\x41d""#, "a\"b\u{e9}c\nAd", "1:6 1:7 1:9 1:10 1:16 1:17 1:19 1:23");
    assert_positions("x = \"\"\"a\nb\"\"\"", "a\nb", "1:8 1:9 2:1");
    assert_positions("x = \"\"\"\n  a\n b\"\"\"", "  a\n b", "2:1 2:2 2:3 2:4 3:1 3:2");
    assert_positions("x = \"\"\"\r\na\"\"\"", "a", "2:1");
    assert_positions("x = \"\"\"a \\\n   b\"\"\"", "a b", "1:8 1:9 2:4");
    assert_positions("x = '''\na''b'''", "a''b", "2:1 2:2 2:3 2:4");
    assert_positions("x = '速度'", "速度", "1:6 1:7");
}

#[test]
fn position_beyond_the_contents_is_the_end_of_the_contents() {
    let text = read("x = 'ab'", |top| top.required("x", spanned_string)).unwrap();
    for (line, column) in [(1, 3), (1, 99), (9, 1)] {
        assert_eq!(text.position(line, column), Position { line: 1, column: 8 });
    }
}

/// Random texts that are similar to TOML, so that they reach its corner cases.
const TOML_LIKE: &str = "([a-c.= \\[\\]{}\"'#,\\\\\n\r\t\u{e9}速0-9-]|\"\"\"|'''|x = |\\[a\\]\n){0,40}";

proptest! {
    #[test]
    fn every_diagnostic_of_a_random_text_is_inside_the_text(random in TOML_LIKE) {
        let result = read(&random, |top| {
            let x = top.required("x", spanned_string);
            top.tables("a").into_iter().for_each(|(_, mut table)| drop(table.optional("b", list(string))));
            x
        });
        for diagnostic in result.err().iter().flatten() {
            let line = random.split('\n').nth(diagnostic.position.line - 1);
            prop_assert!(line.is_some_and(|line| diagnostic.position.column <= line.chars().count() + 1), "{diagnostic}");
        }
    }

    #[test]
    fn random_string_has_each_character_at_its_position(contents in "[a\"'\\\\\n\t\u{e9}速\u{7}]{0,12}", as_toml: bool) {
        let json = serde_json::to_string(&contents).unwrap(); // a basic string, with every escape
        let quoted = if as_toml { toml::Value::String(contents.clone()).to_string() } else { json };
        let file = format!("x = {quoted}");
        let text = read(&file, |top| top.required("x", spanned_string)).unwrap();
        prop_assert_eq!(&text.value, &contents);
        for (line, row) in contents.split('\n').enumerate() {
            for (column, c) in row.chars().enumerate() {
                let at = text.position(line + 1, column + 1);
                let in_file = file.split('\n').nth(at.line - 1).and_then(|line| line.chars().nth(at.column - 1));
                prop_assert!(in_file == Some(c) || in_file == Some('\\'), "{file:?}: {c:?} at {at:?} is {in_file:?}");
            }
        }
    }
}

#[test]
fn array_of_tables_is_read_in_file_order_with_each_mistake_at_its_position() {
    let names = |text: &str| {
        read(text, |top| {
            let names = top.table_array("case").into_iter().map(|mut case| case.required("name", string));
            names.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()
        })
    };
    let diagnostics = |text: &str| names(text).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names("[[case]]\nname = 'b'\n[[case]]\nname = 'a'\n").unwrap(), ["b", "a"]);
    assert_eq!(names("case = [{ name = 'b' }]").unwrap(), ["b"]);
    assert_eq!(names("").unwrap(), [""; 0]);
    assert_eq!(
        diagnostics("[[case]]\nname = 1\n[[case]]\nnam = 'a'\n"),
        [
            "2:8: case.name: expected a string in quotes, found an integer",
            "3:1: case: `name` is missing",
            "4:1: case: unknown key `nam` (did you mean `name`?)",
        ]
    );
    assert_eq!(diagnostics("[case]\nname = 'a'\n"), ["1:1: case: expected tables `[[case]]`, found a table"]);
    assert_eq!(diagnostics("case = [1]"), ["1:9: case: expected a table `[case]`, found an integer"]);
}

#[test]
fn reader_that_reports_no_mistake_is_an_error_too() {
    assert_eq!(read("", |_| Some(7)).unwrap(), 7);
    let error = read("", |_| None::<()>).unwrap_err().to_string();
    assert_eq!(error, "1:1: rejected by a reader that reported no mistake");
}
