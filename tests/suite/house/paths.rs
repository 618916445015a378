//! Every path, import, macro and method that a piece of Rust mentions.
//!
//! Promise: read from tokens, so the insides of macros and attributes count as well; nothing is
//! resolved here.

use proc_macro2::{Delimiter, Ident, LexError, Spacing, TokenStream, TokenTree};

/// How something is mentioned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By a `use`, which makes it known under this name.
    Import(Option<String>),
    /// By a path of two or more segments.
    Path,
    /// As a macro that is called.
    Macro,
    /// As a method that is called.
    Method,
}

/// One mention as it is written. A glob ends with the segment `*`.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub segments: Vec<String>,
    pub kind: Kind,
    /// Line, from one, and column, from zero.
    pub at: (usize, usize),
}

/// Everything that `text` mentions, in order.
pub(super) fn read(text: &str) -> Result<Vec<Raw>, LexError> {
    let mut reader = Reader(Vec::new());
    reader.stream(text.parse()?);
    Ok(reader.0)
}

struct Reader(Vec<Raw>);

impl Reader {
    fn stream(&mut self, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at = match token {
                TokenTree::Group(group) => {
                    if !is_visibility(&tokens, at) {
                        self.stream(group.stream());
                    }
                    at + 1
                }
                TokenTree::Ident(word) if word == "use" && !is_punct(&tokens, at + 1, '<') => {
                    let rest = &tokens[at + 1..];
                    let length = rest.iter().take_while(|token| !is(token, ';')).count();
                    self.imports(&rest[..length], &[]);
                    at + 1 + length
                }
                TokenTree::Ident(word) => self.path(&tokens, at, word),
                TokenTree::Punct(_) | TokenTree::Literal(_) => at + 1,
            };
        }
    }

    fn push(&mut self, segments: Vec<String>, kind: Kind, word: &Ident) {
        let start = word.span().start();
        self.0.push(Raw {
            segments,
            kind,
            at: (start.line, start.column),
        });
    }

    /// Reads the path that starts at `first`, and says where it ends.
    fn path(&mut self, tokens: &[TokenTree], first: usize, word: &Ident) -> usize {
        let before = |back: usize, sign| first >= back && is_punct(tokens, first - back, sign);
        let mut segments = vec![word.to_string()];
        let mut end = first + 1;
        while is_colons(tokens, end) {
            let Some(TokenTree::Ident(next)) = tokens.get(end + 2) else {
                break;
            };
            segments.push(next.to_string());
            end += 3;
        }
        let called = matches!(tokens.get(end), Some(TokenTree::Group(_)));
        let bang =
            is_punct(tokens, end, '!') && matches!(tokens.get(end + 1), Some(TokenTree::Group(_)));
        if before(1, '.') && !before(2, '.') {
            if called {
                self.push(segments, Kind::Method, word);
            }
        } else if bang {
            self.push(segments, Kind::Macro, word);
        } else {
            if before(1, ':') && before(2, ':') && before(3, '>') {
                segments.insert(0, "_".to_owned());
            }
            if segments.len() > 1 {
                self.push(segments, Kind::Path, word);
            }
        }
        end
    }

    /// Reads what stands between the braces of a `use`, or between it and the semicolon.
    fn imports(&mut self, tokens: &[TokenTree], prefix: &[String]) {
        for tree in tokens.split(|token| is(token, ',')) {
            self.import(tree, prefix);
        }
    }

    fn import(&mut self, tree: &[TokenTree], prefix: &[String]) {
        let mut segments = prefix.to_vec();
        let mut renamed = None;
        let mut last = None;
        let mut at = 0;
        while let Some(token) = tree.get(at) {
            match token {
                TokenTree::Ident(word) if word == "as" => {
                    renamed = tree.get(at + 1).map(ToString::to_string);
                    break;
                }
                TokenTree::Ident(word) => {
                    if word != "self" || prefix.is_empty() {
                        segments.push(word.to_string());
                    }
                    last = Some(word.clone());
                }
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    return self.imports(&inner, &segments);
                }
                TokenTree::Punct(sign) if sign.as_char() == '*' => {
                    segments.push("*".to_owned());
                    last = last.or_else(|| Some(Ident::new("glob", sign.span())));
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
        if let Some(word) = last {
            let name = renamed.or_else(|| segments.last().cloned());
            let name = name.filter(|name| name != "*" && name != "_");
            self.push(segments, Kind::Import(name), &word);
        }
    }
}

fn is(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

fn is_punct(tokens: &[TokenTree], at: usize, sign: char) -> bool {
    tokens.get(at).is_some_and(|token| is(token, sign))
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    let joint = matches!(
        tokens.get(at),
        Some(TokenTree::Punct(punct)) if punct.as_char() == ':' && punct.spacing() == Spacing::Joint
    );
    joint && is_punct(tokens, at + 1, ':')
}

/// Whether the group at `at` is the one of `pub(in crate::x)`.
fn is_visibility(tokens: &[TokenTree], at: usize) -> bool {
    let after_pub = at > 0 && matches!(&tokens[at - 1], TokenTree::Ident(word) if word == "pub");
    let round = matches!(
        &tokens[at],
        TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis
    );
    after_pub && round
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<Vec<String>, LexError> {
        let show = |raw: Raw| format!("{:?} {}", raw.kind, raw.segments.join("::"));
        Ok(read(text)?.into_iter().map(show).collect())
    }

    #[test]
    fn imports_are_read_through_nested_groups_and_new_names() -> Result<(), LexError> {
        let found = written("use a::{self, b::{C as D, *}, e};")?;
        let expected = [
            "Import(Some(\"a\")) a",
            "Import(Some(\"D\")) a::b::C",
            "Import(None) a::b::*",
            "Import(Some(\"e\")) a::e",
        ];
        assert_eq!(found, expected);
        Ok(())
    }

    #[test]
    fn expressions_types_macros_and_attributes_are_read() -> Result<(), LexError> {
        let found = written(
            "#[a::b] pub(in crate::q) fn f(x: c::D<e::F>) { g::h!(i::j()); x.k().l; <M>::n(); o != (p); }",
        )?;
        let expected = [
            "Path a::b",
            "Path c::D",
            "Path e::F",
            "Macro g::h",
            "Path i::j",
            "Method k",
            "Path _::n",
        ];
        assert_eq!(found, expected);
        Ok(())
    }
}
