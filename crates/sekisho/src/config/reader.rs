//! Reads one TOML table, key by key, and keeps every mistake instead of the first one.
//!
//! A mistake names the line, the key, what is wrong and what is allowed. Values are never echoed:
//! somebody may have written a secret where none belongs.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// The line in the file, from 1.
    pub line: usize,
    /// The key, dotted, as in `tokens.access_token`.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What is allowed instead; empty when the problem says it.
    pub allowed: String,
    /// The line itself, for the excerpt; empty when it may hold a secret.
    excerpt: String,
}

/// All mistakes of one file, in the order of their lines.
#[derive(Debug)]
pub struct Mistakes {
    /// The file they were found in.
    pub file: PathBuf,
    /// What was found.
    pub list: Vec<Mistake>,
}

impl std::error::Error for Mistakes {}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.list.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        writeln!(f, "{}: {count} {noun}", self.file.display())?;
        for mistake in &self.list {
            writeln!(f)?;
            writeln!(f, "  {}:{}  {}", self.file.display(), mistake.line, mistake.key)?;
            if !mistake.excerpt.is_empty() {
                writeln!(f, "  {:>4} | {}", mistake.line, mistake.excerpt)?;
            }
            writeln!(f, "    {}", mistake.problem)?;
            if !mistake.allowed.is_empty() {
                writeln!(f, "    allowed: {}", mistake.allowed)?;
            }
        }
        Ok(())
    }
}

/// What is shared by all sections of one file: its text and the mistakes found so far.
#[derive(Debug)]
pub(super) struct Source<'a> {
    text: &'a str,
    folder: PathBuf,
    mistakes: RefCell<Vec<Mistake>>,
}

impl<'a> Source<'a> {
    /// `folder` is what relative paths in the file are relative to.
    pub(super) fn new(text: &'a str, folder: &Path) -> Self {
        Self { text, folder: folder.to_owned(), mistakes: RefCell::default() }
    }

    /// A path as written in the file, made relative to the folder of the file.
    pub(super) fn path(&self, written: &str) -> PathBuf {
        self.folder.join(written)
    }

    fn line_at(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }

    /// Records a mistake at a byte offset of the file.
    pub(super) fn mistake(&self, offset: usize, key: &str, problem: impl Into<String>, allowed: &str) {
        let line = self.line_at(offset);
        let text = self.text.lines().nth(line - 1).unwrap_or_default().trim_end();
        // The part after `=` may be a secret in the wrong place; the key is enough to find it.
        let excerpt = text.split_once('=').map_or(text, |(left, _)| left.trim_end());
        self.mistakes.borrow_mut().push(Mistake {
            line,
            key: key.to_owned(),
            problem: problem.into(),
            allowed: allowed.to_owned(),
            excerpt: excerpt.to_owned(),
        });
    }

    /// All mistakes, ordered by line; empty when the file is good.
    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        let mut list = self.mistakes.into_inner();
        list.sort_by_key(|mistake| mistake.line);
        list
    }
}

/// Turns one value into a setting, or says what is wrong with it.
pub(super) type Parse<T> = fn(&DeValue<'_>) -> Result<T, String>;

/// One table of the file while it is being read.
#[derive(Debug)]
pub(super) struct Section<'a> {
    /// The file it belongs to.
    pub(super) source: &'a Source<'a>,
    path: String,
    offset: usize,
    table: &'a DeTable<'a>,
    seen: BTreeSet<String>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(source: &'a Source<'a>, table: &'a DeTable<'a>) -> Self {
        Self { source, path: String::new(), offset: 0, table, seen: BTreeSet::new() }
    }

    /// The full name of a key of this table.
    pub(super) fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Records a mistake about `key` of this table, at its value if there is one.
    pub(super) fn mistake(&self, key: &str, problem: impl Into<String>, allowed: &str) {
        let offset = self.entry(key).map_or(self.offset, |value| value.span().start);
        self.source.mistake(offset, &self.dotted(key), problem, allowed);
    }

    fn entry(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// A setting that may be left out.
    pub(super) fn optional<T>(&mut self, key: &str, allowed: &str, parse: Parse<T>) -> Option<Option<T>> {
        self.seen.insert(key.to_owned());
        let Some(value) = self.entry(key) else { return Some(None) };
        match parse(value.get_ref()) {
            Ok(value) => Some(Some(value)),
            Err(problem) => {
                self.source.mistake(value.span().start, &self.dotted(key), problem, allowed);
                None
            }
        }
    }

    /// A setting that must be there.
    pub(super) fn required<T>(&mut self, key: &str, allowed: &str, parse: Parse<T>) -> Option<T> {
        let found = self.optional(key, allowed, parse)?;
        if found.is_none() {
            self.source.mistake(self.offset, &self.dotted(key), "is missing", allowed);
        }
        found
    }

    /// A setting with a default, which is written in TOML and read by the same parser.
    pub(super) fn defaulted<T>(
        &mut self,
        key: &str,
        allowed: &str,
        parse: Parse<T>,
        default: &str,
    ) -> Option<T> {
        if let Some(value) = self.optional(key, allowed, parse)? {
            return Some(value);
        }
        let line = format!("value = {default}");
        let parsed = DeTable::parse(&line).ok();
        let value =
            parsed.as_ref().and_then(|table| table.get_ref().values().next().map(|v| parse(v.get_ref())));
        value.and_then(Result::ok)
    }

    /// Whether `key` is there, in whatever form.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// That `key` is a setting, though nobody reads it now.
    pub(super) fn knows(&mut self, key: &str) {
        self.seen.insert(key.to_owned());
    }

    /// Whether `key` is a table.
    pub(super) fn is_table(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|value| value.get_ref().is_table())
    }

    /// Whether `key` is a list.
    pub(super) fn is_list(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|value| value.get_ref().is_array())
    }

    /// The table `[key]`, or an empty one.
    pub(super) fn table(&mut self, key: &str) -> Option<Section<'a>> {
        self.seen.insert(key.to_owned());
        let value = self.entry(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(self.child(key, value.span().start, table)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {
                self.mistake(key, "is not a table", &format!("[{}]", self.dotted(key)));
                None
            }
        }
    }

    /// The tables `[[key]]`, in the order of the file.
    pub(super) fn tables(&mut self, key: &str) -> Vec<Section<'a>> {
        self.seen.insert(key.to_owned());
        let Some(value) = self.entry(key) else { return Vec::new() };
        let DeValue::Array(array) = value.get_ref() else {
            self.mistake(key, "is not a list of tables", &format!("[[{}]]", self.dotted(key)));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (index, entry) in array.iter().enumerate() {
            if let DeValue::Table(table) = entry.get_ref() {
                sections.push(self.child(&format!("{key}[{index}]"), entry.span().start, table));
            } else {
                self.mistake(
                    key,
                    "holds something that is not a table",
                    &format!("[[{}]]", self.dotted(key)),
                );
            }
        }
        sections
    }

    fn child(&self, key: &str, offset: usize, table: &'a DeTable<'a>) -> Section<'a> {
        Section { source: self.source, path: self.dotted(key), offset, table, seen: BTreeSet::new() }
    }

    /// Reports every key that nobody asked for, with the nearest known one.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if self.seen.contains(name) {
                continue;
            }
            let near = self.seen.iter().min_by_key(|known| distance(known, name));
            let problem = match near {
                Some(near) if distance(near, name) <= 3 => {
                    format!("is not a setting; did you mean `{near}`?")
                }
                Some(_) | None => "is not a setting".to_owned(),
            };
            let known = self.seen.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            self.source.mistake(key.span().start, &self.dotted(name), problem, &known);
        }
    }
}

/// Levenshtein distance, for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        for (j, y) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or_default();
            let left = if j == 0 { i + 1 } else { row.get(j).copied().unwrap_or_default() };
            let cost = (diagonal + usize::from(x != *y)).min(above + 1).min(left + 1);
            diagonal = above;
            if let Some(cell) = row.get_mut(j + 1) {
                *cell = cost;
            }
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
