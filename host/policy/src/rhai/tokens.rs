//! The words of a script in their order: what its tree does not keep, such as the cases of a `switch`.

use rhai::{Engine, Position, Token};

/// The words of a script.
pub struct Tokens(Vec<(Token, Position)>);

/// A value that is written out.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// In quotes.
    Text(String),
    /// In digits.
    Number(f64),
}

/// Functions whose arguments name things; those texts are not compared with anything.
const NAMING: [&str; 10] =
    ["retry", "give_up", "abstain", "allow", "deny", "window", "limit", "log", "header", "label"];

impl Tokens {
    /// Reads a script that parses.
    pub fn of(engine: &Engine, text: &str) -> Self {
        let (tokens, control) = engine.lex([&text]);
        let mut all = Vec::new();
        // The braces that are open inside each `${`: at its end the text goes on.
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

    /// Whether a name stands anywhere.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(token, _)| matches!(token, Token::Identifier(known) if known.as_str() == name))
    }

    /// The values that the script may compare something with, in their order.
    pub fn constants(&self) -> Vec<Literal> {
        let mut found = Vec::new();
        // How deep in parentheses a function began whose texts only name things.
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
                    naming = naming.filter(|began| *began < depth);
                }
                _ => found.extend(literal(token).filter(|value| {
                    let named = naming.is_some() && matches!(value, Literal::Text(_));
                    !named && !found.contains(value)
                })),
            }
        }
        found
    }

    /// The values written out as cases of the `switch` at a position.
    pub fn cases(&self, switch: Position) -> Vec<(Literal, Position)> {
        let mut found = Vec::new();
        let mut words = self.0.iter().skip_while(|(_, at)| *at != switch).skip(1).peekable();
        let mut depth = 0_usize;
        // Whether a case stands here, and not what follows its arrow or its `if`.
        let mut is_case = false;
        while let Some((token, at)) = words.next() {
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
                    // A block ends its case, and needs no comma.
                    let next = words.peek().map(|(token, _)| token);
                    let ends = *token == Token::RightBrace && next.is_some_and(|next| literal(next).is_some());
                    is_case |= depth == 1 && ends;
                }
                Token::Comma if depth == 1 => is_case = true,
                Token::DoubleArrow | Token::If if depth == 1 => is_case = false,
                _ if depth == 1 && is_case => found.extend(literal(token).map(|value| (value, *at))),
                _ => {}
            }
        }
        found
    }
}

fn is_naming(token: &Token) -> bool {
    matches!(token, Token::Identifier(name) if NAMING.contains(&name.as_str()))
}

#[expect(clippy::cast_precision_loss, reason = "a number that someone wrote down")]
fn literal(token: &Token) -> Option<Literal> {
    match token {
        Token::StringConstant(text) => Some(Literal::Text(text.to_string())),
        Token::IntegerConstant(number) => Some(Literal::Number(*number as f64)),
        Token::FloatConstant(number) => Some(Literal::Number(*number.0)),
        _ => None,
    }
}
