//! A Rust file taken apart: its tokens with their lines, and its functions.

use proc_macro2::{LineColumn, TokenStream, TokenTree};
use syn::{
    Attribute, Block, ImplItemFn, ItemFn, Signature, TraitItemFn,
    visit::{self, Visit},
};

use crate::tree::{self, Tree};

/// One file.
pub(crate) struct Source<'a> {
    /// From the workspace's root.
    pub(crate) path: &'a str,
    /// All of it.
    pub(crate) text: &'a str,
    /// Identifiers, literals, and every punctuation character and delimiter by itself.
    pub(crate) tokens: Vec<Token>,
    /// Every function with a body, methods too.
    pub(crate) functions: Vec<Function>,
    /// Modules and types declared, with their lines.
    pub(crate) names: Vec<(String, usize)>,
}

/// A token, and the line on which it starts.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    /// Where it starts.
    pub(crate) line: usize,
    /// From its first word to its closing brace.
    pub(crate) lines: usize,
    /// The words of its attributes and of its body.
    pub(crate) attributes: Vec<String>,
    pub(crate) body: Vec<String>,
}

impl<'a> Source<'a> {
    /// Every Rust file of the tree.
    pub(crate) fn all(tree: &'a Tree) -> Vec<Self> {
        let rust = tree.files.iter().filter(|(path, _)| tree::is_rust(path));
        rust.map(|(path, text)| Self::parse(path, text)).collect()
    }

    /// Lines on which this sequence of tokens starts; `::` is written as one word.
    pub(crate) fn lines_with(&self, sequence: &str) -> Vec<usize> {
        let spelt = sequence.replace("::", ": :");
        let wanted: Vec<_> = spelt.split_whitespace().collect();
        self.tokens
            .windows(wanted.len())
            .filter(|window| window.iter().map(|token| &token.text).eq(&wanted))
            .map(|window| window[0].line)
            .collect()
    }

    /// # Panics
    /// If the text is no Rust: the compiler would have said so before.
    fn parse(path: &'a str, text: &'a str) -> Self {
        let stream: TokenStream = text
            .parse()
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let file = syn::parse2(stream.clone()).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut source = Self {
            path,
            text,
            tokens: Vec::new(),
            functions: Vec::new(),
            names: Vec::new(),
        };
        flatten(stream, &mut source.tokens);
        source.visit_file(&file);
        source
    }

    fn add_function(&mut self, attributes: &[Attribute], signature: &Signature, block: &Block) {
        let braces = block.brace_token.span;
        let (start, open) = (signature.fn_token.span.start(), braces.open().start());
        let end = braces.close().end();
        let attributes = attributes
            .iter()
            .flat_map(|attribute| match &attribute.meta {
                syn::Meta::List(list) => {
                    [path_words(&list.path), words(list.tokens.clone())].concat()
                }
                other => path_words(other.path()),
            });
        self.functions.push(Function {
            name: signature.ident.to_string(),
            line: start.line,
            lines: end.line - start.line + 1,
            attributes: attributes.collect(),
            body: self.words_between(open, end),
        });
    }

    fn words_between(&self, start: LineColumn, end: LineColumn) -> Vec<String> {
        let inside = |token: &&Token| (start.line..=end.line).contains(&token.line);
        let tokens = self.tokens.iter().filter(inside);
        tokens.map(|token| token.text.clone()).collect()
    }

    fn add_name(&mut self, ident: &syn::Ident) {
        self.names
            .push((ident.to_string(), ident.span().start().line));
    }
}

impl<'ast> Visit<'ast> for Source<'_> {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.add_function(&item.attrs, &item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.add_function(&item.attrs, &item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(block) = &item.default {
            self.add_function(&item.attrs, &item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.add_name(&item.ident);
        visit::visit_item_mod(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add_name(&item.ident);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add_name(&item.ident);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.add_name(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.add_name(&item.ident);
    }
}

fn path_words(path: &syn::Path) -> Vec<String> {
    let segments = path.segments.iter();
    segments.map(|segment| segment.ident.to_string()).collect()
}

fn words(stream: TokenStream) -> Vec<String> {
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    tokens.into_iter().map(|token| token.text).collect()
}

fn flatten(stream: TokenStream, out: &mut Vec<Token>) {
    let token = |text: String, at: LineColumn| Token {
        text,
        line: at.line,
    };
    for tree in stream {
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ("(", ")"),
                    proc_macro2::Delimiter::Brace => ("{", "}"),
                    proc_macro2::Delimiter::Bracket => ("[", "]"),
                    proc_macro2::Delimiter::None => ("", ""),
                };
                out.push(token(open.to_owned(), group.span_open().start()));
                flatten(group.stream(), out);
                out.push(token(close.to_owned(), group.span_close().start()));
            }
            other => out.push(token(other.to_string(), other.span().start())),
        }
    }
}
