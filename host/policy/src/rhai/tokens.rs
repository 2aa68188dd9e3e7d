//! The tokens of a script in their order. They contain what the syntax tree does not keep, such as the cases of a
//! `switch`.

use rhai::{Engine, Position, Token};

/// The tokens of a script.
#[derive(Clone, Debug)]
pub struct Tokens(Vec<(Token, Position)>);

/// A literal value.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A string.
    String(String),
    /// A number.
    Number(f64),
}

/// Functions whose string arguments are names or reasons, which are not compared with anything.
#[cfg(feature = "scripts")]
const NAMING_FUNCTIONS: [&str; 10] =
    ["retry", "give_up", "abstain", "allow", "deny", "window", "limit", "log", "header", "label"];

impl Tokens {
    /// Splits a script that can be parsed into tokens.
    pub(super) fn lex(engine: &Engine, text: &str) -> Self {
        let (tokens, control) = engine.lex([&text]);
        let mut all = Vec::new();
        // The number of open braces inside each `${`; when it closes, the string continues.
        let mut open: Vec<usize> = Vec::new();
        for (token, at) in tokens {
            match &token {
                Token::InterpolatedString(_) => open.push(0),
                Token::LeftBrace | Token::MapStart => open.last_mut().into_iter().for_each(|depth| *depth += 1),
                Token::RightBrace => {
                    if let Some(depth) = open.last_mut() {
                        *depth = depth.saturating_sub(1);
                        if *depth == 0 {
                            open.pop();
                            control.borrow_mut().is_within_text = true;
                        }
                    }
                }
                Token::EOF => break,
                _ => {}
            }
            all.push((token, at));
        }
        Self(all)
    }

    /// Returns whether the script contains an identifier.
    #[cfg(feature = "scripts")]
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(token, _)| matches!(token, Token::Identifier(known) if known.as_str() == name))
    }

    /// Returns the literals that the script may compare something with, in their order and without duplicates.
    #[cfg(feature = "scripts")]
    #[must_use]
    pub fn constants(&self) -> Vec<Literal> {
        let mut constants = Vec::new();
        // The depth of the parenthesis that opened the arguments of a naming function.
        let (mut depth, mut naming) = (0_usize, None);
        for (index, (token, _)) in self.0.iter().enumerate() {
            match token {
                Token::LeftParen => {
                    let before = index.checked_sub(1).and_then(|before| self.0.get(before));
                    if naming.is_none() && before.is_some_and(|(token, _)| is_naming(token)) {
                        naming = Some(depth);
                    }
                    depth += 1;
                }
                Token::RightParen => {
                    depth = depth.saturating_sub(1);
                    naming = naming.filter(|start| *start < depth);
                }
                _ => constants.extend(literal(token).filter(|value| {
                    let named = naming.is_some() && matches!(value, Literal::String(_));
                    !named && !constants.contains(value)
                })),
            }
        }
        constants
    }

    /// Returns the literal cases of the `switch` at a position.
    pub(super) fn cases(&self, switch: Position) -> Vec<(Literal, Position)> {
        let mut cases = Vec::new();
        let mut rest = self.0.iter().skip_while(|(_, at)| *at != switch).skip(1).peekable();
        let mut depth = 0_usize;
        // Whether the token belongs to a case, and not to what follows its arrow or its `if`.
        let mut is_case = false;
        while let Some((token, at)) = rest.next() {
            match token {
                Token::LeftBrace if depth == 0 => {
                    depth = 1;
                    is_case = true;
                }
                Token::LeftBrace | Token::LeftParen | Token::LeftBracket | Token::MapStart if depth > 0 => depth += 1,
                Token::RightBrace | Token::RightParen | Token::RightBracket if depth > 0 => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                    // A block ends its case without a comma.
                    let next = rest.peek().map(|(token, _)| token);
                    let ends = *token == Token::RightBrace && next.is_some_and(|next| literal(next).is_some());
                    is_case |= depth == 1 && ends;
                }
                Token::Comma if depth == 1 => is_case = true,
                Token::DoubleArrow | Token::If if depth == 1 => is_case = false,
                _ if depth == 1 && is_case => cases.extend(literal(token).map(|value| (value, *at))),
                _ => {}
            }
        }
        cases
    }
}

#[cfg(feature = "scripts")]
fn is_naming(token: &Token) -> bool {
    matches!(token, Token::Identifier(name) if NAMING_FUNCTIONS.contains(&name.as_str()))
}

#[expect(clippy::cast_precision_loss, reason = "a literal is written by hand and stays far below 2^53")]
fn literal(token: &Token) -> Option<Literal> {
    match token {
        Token::StringConstant(text) => Some(Literal::String(text.to_string())),
        Token::IntegerConstant(number) => Some(Literal::Number(*number as f64)),
        Token::FloatConstant(number) => Some(Literal::Number(*number.0)),
        _ => None,
    }
}
