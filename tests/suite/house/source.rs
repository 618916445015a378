//! One source file, as the facts that the rules ask for.
//!
//! Promise: plain data. What a name stands for is followed through the imports of the file; what is
//! test code is known for each fact.

use super::paths::{self, Kind};
use proc_macro2::Span;
use std::error::Error;
use std::fmt;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, Item, ItemEnum, ItemFn, ItemMod, TraitItemFn};

/// A place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Violation {
    path: String,
    line: usize,
    what: String,
}

impl Violation {
    pub(super) fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Something that the file mentions.
#[derive(Clone, Debug)]
pub(super) struct Mention {
    /// Its path; what an import made known under its first segment is written out.
    pub segments: Vec<String>,
    pub kind: Kind,
    pub line: usize,
    pub test: bool,
    /// The module whose `self` and `super` the path means.
    pub module: Vec<String>,
    /// The import that it goes through.
    pub through: Option<Box<Mention>>,
}

impl Mention {
    /// The path from the root of the crate, if it points into the crate.
    pub(super) fn in_crate(&self) -> Option<Vec<String>> {
        let mut module = self.module.clone();
        let mut rest = self.segments.as_slice();
        let mut inside = false;
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "crate" => module.clear(),
                "super" => drop(module.pop()),
                "self" => {}
                _ => break,
            }
            inside = true;
            rest = after;
        }
        module.extend_from_slice(rest);
        inside.then_some(module)
    }

    /// The path as it is read by people.
    pub(super) fn name(&self) -> String {
        self.segments.join("::")
    }
}

/// A function with a body.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub name: String,
    pub first_line: usize,
    pub last_line: usize,
    pub test: bool,
}

/// An enum.
#[derive(Clone, Debug)]
pub(super) struct Enum {
    pub name: String,
    pub line: usize,
    pub variants: usize,
}

/// A `mod name;`, and the inline modules it stands in.
#[derive(Clone, Debug)]
pub(super) struct Declaration {
    pub inside: Vec<String>,
    pub name: String,
    pub test: bool,
}

/// A stretch of the file, both ends within.
type Stretch = ((usize, usize), (usize, usize));

/// What a file says.
#[derive(Debug)]
pub(super) struct Source {
    /// Relative to the root of the project, with forward slashes.
    pub path: String,
    pub text: String,
    /// The module it is, from the root of its crate.
    pub module: Vec<String>,
    /// Whether all of it is test code.
    pub test: bool,
    pub mentions: Vec<Mention>,
    pub functions: Vec<Function>,
    pub enums: Vec<Enum>,
    pub declarations: Vec<Declaration>,
    /// Whether there is anything but `mod name;`.
    pub has_items: bool,
    tests: Vec<Stretch>,
}

impl Source {
    pub(super) fn parse(path: &str, text: &str) -> Result<Self, Box<dyn Error>> {
        let named = |error: &dyn fmt::Display| format!("{path}: {error}");
        let file = syn::parse_file(text).map_err(|error| named(&error))?;
        let raw = paths::read(text).map_err(|error| named(&error))?;
        let mut facts = Facts::default();
        facts.visit_file(&file);
        let declares = |item: &Item| matches!(item, Item::Mod(module) if module.content.is_none());
        let module = module_of(path);
        Ok(Self {
            path: path.to_owned(),
            text: text.to_owned(),
            test: false,
            mentions: mentions(&module, &facts, raw),
            module,
            functions: facts.functions,
            enums: facts.enums,
            declarations: facts.declarations,
            has_items: file.items.iter().any(|item| !declares(item)),
            tests: facts.tests,
        })
    }

    /// Whether it belongs to the binary, not to the library.
    pub(super) fn is_binary(&self) -> bool {
        self.path == "src/main.rs" || self.path.starts_with("src/cli/")
    }

    /// The numbers of the lines that are code, tests aside.
    pub(super) fn code_lines(&self) -> impl Iterator<Item = usize> {
        let numbered = self.text.lines().enumerate();
        numbered.filter_map(|(number, line)| {
            let line = line.trim_start();
            let counts = !line.is_empty() && !line.starts_with("//");
            (counts && !self.is_test_at((number + 1, 0))).then_some(number + 1)
        })
    }

    /// What a rule says about the mentions, where an import that breaks it is not repeated for
    /// each use of the name.
    pub(super) fn judge(&self, rule: impl Fn(&Mention) -> Option<String>) -> Vec<Violation> {
        let mut violations = Vec::new();
        for mention in &self.mentions {
            let known = mention.through.as_deref().and_then(&rule).is_some();
            if let Some(what) = rule(mention).filter(|_| !known) {
                violations.push(Violation::new(&self.path, mention.line, what));
            }
        }
        violations
    }

    fn is_test_at(&self, at: (usize, usize)) -> bool {
        let within = |((line, _), end): &Stretch| (*line, 0) <= at && at <= *end;
        self.test || self.tests.iter().any(within)
    }
}

/// The module that a file is.
fn module_of(path: &str) -> Vec<String> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<String> = path.split('/').map(ToOwned::to_owned).collect();
    module.pop_if(|last| last == "mod");
    if module == ["lib"] || module == ["main"] {
        module.clear();
    }
    module
}

/// Says of each mention where it stands, and follows it through the imports.
fn mentions(file: &[String], facts: &Facts, raw: Vec<paths::Raw>) -> Vec<Mention> {
    let within = |stretch: &Stretch, at| stretch.0 <= at && at <= stretch.1;
    let place = |raw: paths::Raw| {
        let inline = facts.modules.iter();
        let inline = inline.filter(|(_, stretch)| within(stretch, raw.at));
        let module = file.iter().chain(inline.map(|(name, _)| name));
        Mention {
            line: raw.at.0,
            test: facts.tests.iter().any(|stretch| within(stretch, raw.at)),
            module: module.cloned().collect(),
            segments: raw.segments,
            kind: raw.kind,
            through: None,
        }
    };
    let mut mentions: Vec<Mention> = raw.into_iter().map(place).collect();
    let is_import = |mention: &&Mention| matches!(mention.kind, Kind::Import(Some(_)));
    let imports: Vec<Mention> = mentions.iter().filter(is_import).cloned().collect();
    for mention in &mut mentions {
        follow(mention, &imports);
    }
    mentions
}

/// Replaces a first segment that an import made known by what it stands for.
fn follow(mention: &mut Mention, imports: &[Mention]) {
    if !matches!(mention.kind, Kind::Path | Kind::Macro) {
        return;
    }
    let first = Some(mention.segments[0].clone());
    let visible = imports.iter().filter(|import| {
        matches!(&import.kind, Kind::Import(name) if *name == first)
            && mention.module.starts_with(&import.module)
    });
    if let Some(import) = visible.max_by_key(|import| import.module.len()) {
        mention.segments.splice(..1, import.segments.clone());
        mention.module.clone_from(&import.module);
        mention.through = Some(Box::new(import.clone()));
    }
}

/// Gathers what tokens alone do not tell.
#[derive(Default)]
struct Facts {
    inside: Vec<String>,
    in_test: bool,
    modules: Vec<(String, Stretch)>,
    tests: Vec<Stretch>,
    functions: Vec<Function>,
    enums: Vec<Enum>,
    declarations: Vec<Declaration>,
}

impl Facts {
    /// Visits something that may be marked as a test.
    fn marked(&mut self, attributes: &[Attribute], span: Span, visit: impl FnOnce(&mut Self)) {
        let outer = self.in_test;
        if !outer && attributes.iter().any(is_test) {
            self.in_test = true;
            self.tests.push(stretch(span));
        }
        visit(self);
        self.in_test = outer;
    }

    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        self.functions.push(Function {
            name: signature.ident.to_string(),
            first_line: signature.span().start().line,
            last_line: body.span().end().line,
            test: self.in_test,
        });
    }
}

impl<'ast> Visit<'ast> for Facts {
    fn visit_item(&mut self, item: &'ast Item) {
        self.marked(attributes(item), item.span(), |facts| {
            visit::visit_item(facts, item);
        });
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let name = module.ident.to_string();
        if module.content.is_none() {
            self.declarations.push(Declaration {
                inside: self.inside.clone(),
                name,
                test: self.in_test,
            });
            return;
        }
        self.modules.push((name.clone(), stretch(module.span())));
        self.inside.push(name);
        visit::visit_item_mod(self, module);
        self.inside.pop();
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        self.enums.push(Enum {
            name: item.ident.to_string(),
            line: item.ident.span().start().line,
            variants: item.variants.len(),
        });
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.marked(&item.attrs, item.span(), |facts| {
            facts.function(&item.sig, &item.block);
            visit::visit_impl_item_fn(facts, item);
        });
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

fn stretch(span: Span) -> Stretch {
    let (start, end) = (span.start(), span.end());
    ((start.line, start.column), (end.line, end.column))
}

/// Whether it is `#[test]` or `#[cfg(test)]`.
fn is_test(attribute: &Attribute) -> bool {
    let path = attribute.path();
    let configured = || attribute.parse_args::<syn::Path>().ok();
    path.is_ident("test")
        || path.is_ident("cfg") && configured().is_some_and(|path| path.is_ident("test"))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
