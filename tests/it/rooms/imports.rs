//! Reads what one source file imports: the paths that begin with `crate`, `self`, `super` or a
//! module that the file declares, and the other crates that it mentions.
//!
//! Works on tokens: comments and strings don't count, the arguments of macros do. What stands
//! under `#[cfg(test)]` is left out.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// The names that lead to a module, without `crate`; none for the root.
pub type Module = Vec<String>;

/// One source file, read.
#[derive(Default)]
pub struct Source {
    pub path: String,
    pub module: Module,
    pub imports: Vec<Import>,
    /// Every other path, and every name that stands alone.
    pub mentions: Vec<Import>,
    /// Modules declared here under `#[cfg(test)]`: their files are tests as a whole.
    pub test_modules: Vec<Module>,
    declared: BTreeSet<Module>,
}

/// A path in the code, from the root of the crate that it leads into.
pub struct Import {
    pub line: usize,
    pub target: Vec<String>,
}

/// A token and its line; a path's `::` is one.
type Word = (String, usize);

impl Source {
    /// Reads a file whose path begins with `src/`. Fails on text that is not Rust.
    pub fn read(path: &str, text: &str) -> Result<Source, String> {
        let tokens: TokenStream = text.parse().map_err(|error| format!("{path}:1: {error}"))?;
        let mut words = Vec::new();
        flatten(tokens, &mut words);
        let mut source = Source {
            path: path.into(),
            module: module_of(path),
            ..Source::default()
        };
        // The first pass learns which modules are declared, the second resolves paths by them.
        source.walk(&words);
        (source.imports, source.mentions) = (Vec::new(), Vec::new());
        source.walk(&words);
        Ok(source)
    }

    fn walk(&mut self, words: &[Word]) {
        let texts: Vec<&str> = words.iter().map(|(text, _)| text.as_str()).collect();
        // The module that each open brace stands in.
        let mut scopes = vec![self.module.clone()];
        let mut at = 0;
        while at < texts.len() {
            let scope = scopes[scopes.len() - 1].clone();
            at += match texts[at..] {
                ["#", "[", "cfg", "(", "test", ")", "]", ..] => {
                    self.skip_item(&texts[at..], &scope)
                }
                ["pub", "(", "crate" | "super" | "self", ")", ..] => 4,
                ["pub", "(", "in", ..] => {
                    texts[at..].iter().take_while(|text| **text != ")").count()
                }
                ["mod", name, ..] => {
                    self.declared.insert(joined(&scope, &[name]));
                    if texts[at + 2] == "{" {
                        scopes.push(joined(&scope, &[name]));
                    }
                    3
                }
                // `impl Trait + use<'a>` imports nothing.
                ["use", "<", ..] => 1,
                ["use", ..] => 1 + self.take_use(&words[at + 1..], &[], &scope),
                // The rest of a path that begins with a type: `<T as Trait>::name`.
                ["::", ..] if texts[at - 1] == ">" => 2,
                [first, ..] if is_name(first) => {
                    let pairs = texts[at + 1..].chunks_exact(2);
                    let more = pairs.take_while(|pair| pair[0] == "::" && is_name(pair[1]));
                    let path: Vec<&str> = [first]
                        .into_iter()
                        .chain(more.map(|pair| pair[1]))
                        .collect();
                    self.take(&path, words[at].1, &scope);
                    path.len() * 2 - 1
                }
                [first, ..] => {
                    if first == "{" {
                        scopes.push(scope);
                    } else if first == "}" {
                        scopes.pop();
                    }
                    1
                }
                [] => unreachable!("`at` is within the words"),
            };
        }
    }

    /// The length of an item under `#[cfg(test)]`, this attribute included.
    fn skip_item(&mut self, texts: &[&str], scope: &Module) -> usize {
        let mut depth = 0_usize;
        for (at, text) in texts.iter().enumerate().skip(7) {
            match *text {
                "mod" if depth == 0 => self.test_modules.push(joined(scope, &[texts[at + 1]])),
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            let ends_block = *text == "}" && texts.get(at + 1) != Some(&";");
            if depth == 0 && (*text == ";" || ends_block) {
                return at + 1;
            }
        }
        texts.len()
    }

    /// Takes every path of a `use`, nested braces included; gives how many words they are.
    fn take_use(&mut self, words: &[Word], prefix: &[&str], scope: &Module) -> usize {
        let (mut at, mut path, mut line) = (0, prefix.to_vec(), None);
        while let Some((text, here)) = words.get(at) {
            at += 1;
            match text.as_str() {
                "," | "}" | ";" => {
                    if let Some(line) = line.take() {
                        self.take(&path, line, scope);
                    }
                    if text != "," {
                        break;
                    }
                    path = prefix.to_vec();
                }
                "{" => {
                    at += self.take_use(&words[at..], &path, scope);
                    line = None;
                }
                "as" => at += 1,
                "::" => {}
                // In braces, the path before them.
                "self" if !prefix.is_empty() => line = Some(*here),
                name => {
                    path.push(name);
                    line = Some(*here);
                }
            }
        }
        at
    }

    fn take(&mut self, path: &[&str], line: usize, scope: &Module) {
        let relative = path
            .iter()
            .take_while(|name| ["self", "super"].contains(name));
        let (relative, above) = (
            relative.clone().count(),
            relative.filter(|name| **name == "super").count(),
        );
        let base = &scope[..scope.len().saturating_sub(above)];
        let is_child = path.len() > 1 && self.declared.contains(&joined(scope, &path[..1]));
        if path[0] == "crate" {
            let target = joined(&[], &path[1..]);
            self.imports.push(Import { line, target });
        } else if relative > 0 || is_child {
            let target = joined(base, &path[relative..]);
            self.imports.push(Import { line, target });
        } else {
            let target = joined(&[], path);
            self.mentions.push(Import { line, target });
        }
    }
}

/// `src/hub/queue/mod.rs` and `src/hub/queue.rs` are both `hub::queue`.
pub fn module_of(path: &str) -> Module {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let names = path
        .split('/')
        .filter(|name| !["mod", "lib", "main"].contains(name));
    names.map(str::to_owned).collect()
}

fn joined(base: &[String], more: &[&str]) -> Module {
    let more = more.iter().map(|name| (*name).to_owned());
    base.iter().cloned().chain(more).collect()
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

fn flatten(tokens: TokenStream, words: &mut Vec<Word>) {
    let mut is_joint = false;
    for token in tokens {
        let line = token.span().start().line;
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    _ => ("(", ")"),
                };
                words.push((open.into(), line));
                flatten(group.stream(), words);
                words.push((close.into(), line));
            }
            TokenTree::Ident(name) => words.push((name.to_string(), line)),
            TokenTree::Punct(mark) => {
                let last = words.last_mut().filter(|_| is_joint);
                match (last, mark.as_char()) {
                    (Some((last, _)), ':') if last == ":" => last.push(':'),
                    (Some((last, _)), '>') if last == "-" => last.push('>'),
                    (_, mark) => words.push((mark.into(), line)),
                }
                is_joint = mark.spacing() == Spacing::Joint;
            }
            TokenTree::Literal(_) => words.push(("\"\"".into(), line)),
        }
    }
}
