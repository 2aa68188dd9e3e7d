use proptest::prelude::*;

use super::*;

fn problems(text: &str, ask: impl FnOnce(&mut Section<'_>)) -> Vec<String> {
    let read = read(text, |top| {
        ask(top);
        Some(())
    });
    read.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn only(text: &str, ask: impl FnOnce(&mut Section<'_>)) -> String {
    let mut found = problems(text, ask);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_value_of_another_kind_is_named_by_its_kind_and_never_shown() {
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
            only(text, |top| {
                top.optional("x", string);
            }),
            expected
        );
    }
}

#[test]
fn numbers_keep_both_bounds_of_their_range() {
    let whole = |text: &str| {
        problems(text, |top| {
            top.optional("x", integer(1..=10));
        })
    };
    for text in ["x = 1", "x = 10", "x = 0xA", "x = 1_0"] {
        assert!(whole(text).is_empty(), "{text}");
    }
    for (text, found) in [("x = 0", "0"), ("x = 11", "11"), ("x = -1", "-1")] {
        assert_eq!(whole(text), [format!("1:5: x: expected a whole number from 1 to 10, not {found}")]);
    }
    let part = |text: &str| {
        problems(text, |top| {
            top.optional("x", number(0.0..=1.0));
        })
    };
    for text in ["x = 0", "x = 0.0", "x = 1", "x = 1.0"] {
        assert!(part(text).is_empty(), "{text}");
    }
    for (text, found) in [("x = -0.1", "-0.1"), ("x = 2", "2"), ("x = nan", "nan"), ("x = inf", "inf")] {
        assert_eq!(part(text), [format!("1:5: x: expected a number from 0 to 1, not {found}")]);
    }
}

#[test]
fn every_wrong_element_of_a_list_is_reported_where_it_stands() {
    let found = problems("x = [1, \"a\",\n  true]", |top| {
        top.optional("x", list(string));
    });
    let expected = "x: expected a string in quotes, found";
    assert_eq!(found, [format!("1:6: {expected} an integer"), format!("2:3: {expected} a boolean")]);
}

#[test]
fn columns_count_characters() {
    let found = only("x = { \"速度\" = 'é', n = 5 }", |top| {
        let mut table = top.table("x").unwrap();
        table.skip_rest();
        table.optional("n", string);
    });
    assert_eq!(found, "1:23: x.n: expected a string in quotes, found an integer");
}

#[test]
fn unknown_keys_are_answered_with_the_nearest_known_one_or_with_all() {
    let ask = |top: &mut Section<'_>| {
        top.optional("cooldown", string);
        top.optional("for", string);
    };
    assert_eq!(only("coolodwn = 1", ask), "1:1: coolodwn: no such key; did you mean `cooldown`?");
    assert_eq!(only("  fro = 1", ask), "1:3: fro: no such key; did you mean `for`?");
    assert_eq!(only("severity = 1", ask), "1:1: severity: no such key; known here: `cooldown`, `for`");
    assert_eq!(only("x = 1", |_| ()), "1:1: x: no such key; nothing can stand here");
}

#[test]
fn sections_know_their_path_and_refuse_what_is_no_table() {
    let ask = |top: &mut Section<'_>| {
        for (_, mut channel) in top.tables("channels") {
            channel.required("kind", string);
        }
    };
    assert_eq!(only("[channels.ops]\n", ask), "1:11: channels.ops: `kind` is missing");
    assert_eq!(
        only("[channels]\nops = 5", ask),
        "2:7: channels.ops: expected a table `[channels.ops]`, found an integer"
    );
    assert_eq!(only("channels = 5", ask), "1:12: channels: expected a table `[channels]`, found an integer");
    assert_eq!(problems("channels.ops.kind = \"log\"", ask), [""; 0], "dotted keys are the same thing");
}

#[test]
fn broken_toml_is_reported_beside_the_mistakes_of_the_lines_that_can_be_read() {
    let found = problems("a = \"x\nb = 5\n[c\nd = 1\ne = 1\n", |top| {
        top.required("a", string);
        top.required("b", string);
        top.required("missing", string);
    });
    assert!(found[0].starts_with("1:7: not TOML: "), "{found:#?}");
    assert!(found.contains(&"2:5: b: expected a string in quotes, found an integer".to_owned()), "{found:#?}");
    assert!(found.iter().any(|problem| problem.starts_with("3:3: not TOML: ")), "{found:#?}");
    assert!(!found.iter().any(|problem| problem.contains("missing")), "a line that was lost may hold it: {found:#?}");
}

#[test]
fn a_key_given_twice_is_reported() {
    let found = only("a = 1\na = 2", |top| {
        top.optional("a", integer(0..=9));
    });
    assert_eq!(found, "2:1: not TOML: duplicate key");
}

/// The place of each character of a string, as `line:column` of the file.
#[track_caller]
fn places(toml: &str, value: &str, expected: &str) {
    let text = read(toml, |top| top.required("x", text)).unwrap();
    assert_eq!(text.value, value, "{toml}");
    let lines = text.value.split_inclusive('\n').enumerate();
    let cells = lines.flat_map(|(line, text)| (0..text.chars().count()).map(move |column| (line + 1, column + 1)));
    let found: Vec<_> = cells.map(|(line, column)| text.place(line, column)).collect();
    let found: Vec<_> = found.iter().map(|at| format!("{}:{}", at.line, at.column)).collect();
    assert_eq!(found.join(" "), expected, "{toml}");
}

#[test]
fn every_character_of_a_string_is_found_in_the_file_whatever_the_quotes() {
    places("x = \"ab\"", "ab", "1:6 1:7");
    places("x = 'ab'", "ab", "1:6 1:7");
    places("x = 'a\\b'", "a\\b", "1:6 1:7 1:8");
    places(r#"x = "a\"b\u00e9c\n\x41d""#, "a\"b\u{e9}c\nAd", "1:6 1:7 1:9 1:10 1:16 1:17 1:19 1:23");
    places("x = \"\"\"a\nb\"\"\"", "a\nb", "1:8 1:9 2:1");
    places("x = \"\"\"\n  a\n b\"\"\"", "  a\n b", "2:1 2:2 2:3 2:4 3:1 3:2");
    places("x = \"\"\"\r\na\"\"\"", "a", "2:1");
    places("x = \"\"\"a \\\n   b\"\"\"", "a b", "1:8 1:9 2:4");
    places("x = '''\na''b'''", "a''b", "2:1 2:2 2:3 2:4");
    places("x = '速度'", "速度", "1:6 1:7");
}

#[test]
fn a_place_beyond_the_contents_is_shown_at_their_end() {
    let text = read("x = 'ab'", |top| top.required("x", text)).unwrap();
    for (line, column) in [(1, 3), (1, 99), (9, 1)] {
        assert_eq!(text.place(line, column), Position { line: 1, column: 8 });
    }
}

/// Texts near enough to TOML that its odd corners are met.
const TOMLISH: &str = "([a-c.= \\[\\]{}\"'#,\\\\\n\r\t\u{e9}速0-9-]|\"\"\"|'''|x = |\\[a\\]\n){0,40}";

proptest! {
    #[test]
    fn no_text_is_too_odd_and_every_problem_lies_within_it(odd in TOMLISH) {
        let read = read(&odd, |top| {
            let x = top.required("x", text);
            top.tables("a").into_iter().for_each(|(_, mut table)| drop(table.optional("b", list(string))));
            x
        });
        for problem in read.err().unwrap_or_default() {
            let line = odd.split('\n').nth(problem.line - 1);
            prop_assert!(line.is_some_and(|line| problem.column <= line.chars().count() + 1), "{problem}");
        }
    }

    #[test]
    fn whatever_is_quoted_stands_where_its_place_says(contents in "[a\"'\\\\\n\t\u{e9}速\u{7}]{0,12}", as_toml: bool) {
        let json = serde_json::to_string(&contents).unwrap(); // a basic string, with every escape
        let quoted = if as_toml { toml::Value::String(contents.clone()).to_string() } else { json };
        let file = format!("x = {quoted}");
        let text = read(&file, |top| top.required("x", text)).unwrap();
        prop_assert_eq!(&text.value, &contents);
        for (line, row) in contents.split('\n').enumerate() {
            for (column, c) in row.chars().enumerate() {
                let at = text.place(line + 1, column + 1);
                let found = file.split('\n').nth(at.line - 1).and_then(|line| line.chars().nth(at.column - 1));
                prop_assert!(found == Some(c) || found == Some('\\'), "{file:?}: {c:?} at {at:?} is {found:?}");
            }
        }
    }
}

#[test]
fn tables_in_a_list_come_in_their_order_and_each_mistake_at_its_place() {
    let names = |text: &str| {
        read(text, |top| {
            let names = top.sections("case").into_iter().map(|mut case| case.required("name", string));
            names.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()
        })
    };
    let told = |text: &str| names(text).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names("[[case]]\nname = 'b'\n[[case]]\nname = 'a'\n").unwrap(), ["b", "a"]);
    assert_eq!(names("case = [{ name = 'b' }]").unwrap(), ["b"]);
    assert_eq!(names("").unwrap(), [""; 0]);
    assert_eq!(
        told("[[case]]\nname = 1\n[[case]]\nnam = 'a'\n"),
        [
            "2:8: case.name: expected a string in quotes, found an integer",
            "3:1: case: `name` is missing",
            "4:1: case.nam: no such key; did you mean `name`?",
        ]
    );
    assert_eq!(told("[case]\nname = 'a'\n"), ["1:1: case: expected tables `[[case]]`, found a table"]);
    assert_eq!(told("case = [1]"), ["1:9: case: expected a table `[case]`, found an integer"]);
}
