//! LVM's configuration text: sections, and keys with numbers, strings and lists. Metadata and `lvm.conf` are
//! both written in it (libdm-config.c of LVM).

use std::fmt;
use std::ops::Range;

/// Sections nest this deep at most; LVM's metadata needs four.
const DEEPEST: usize = 16;

/// A value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A whole number.
    Number(i64),
    /// Text, also bare words.
    Text(String),
    /// A fraction, as it stands.
    Fraction(String),
    /// Several, without lists inside.
    List(Vec<Value>),
}

/// A section: its keys and its sections, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Section {
    /// Name and value; a later one of a name counts (LVM merges so).
    pub(crate) keys: Vec<(String, Value)>,
    /// Name and content.
    pub(crate) sections: Vec<(String, Section)>,
}

/// Where the name and the content of a section stand in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: Range<usize>,
    pub(crate) content: Range<usize>,
}

/// Where a text is not LVM's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {reason}")]
pub(crate) struct TextError {
    at: usize,
    reason: &'static str,
}

impl Section {
    /// Reads a whole text.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, TextError> {
        let mut parser = Parser::new(text);
        parser.body(0)
    }

    /// Reads a whole text but for what is in the sections `left` below its top ones: where the sections in there stand is
    /// told instead. They are the bulk of a text, and most of them are as they were in the last one.
    pub(crate) fn parse_around(
        text: &[u8],
        left: &'static str,
    ) -> Result<(Self, Vec<Place>), TextError> {
        let mut parser = Parser {
            left: Some(left),
            ..Parser::new(text)
        };
        let section = parser.body(0)?;
        Ok((section, parser.places))
    }

    /// Value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.keys
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// Content of a section.
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections
            .iter()
            .find(|(of, _)| of == name)
            .map(|(_, section)| section)
    }

    /// Text of a key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Number of a key that cannot be negative.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Value::Number(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// Texts of a list; a single text is a list of one.
    pub(crate) fn texts(&self, key: &str) -> Vec<&str> {
        match self.get(key) {
            Some(Value::List(values)) => values
                .iter()
                .filter_map(|value| match value {
                    Value::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
            Some(Value::Text(text)) => vec![text],
            _ => Vec::new(),
        }
    }

    /// Value of `section/key`, written as such or in a section.
    pub(crate) fn at(&self, section: &str, key: &str) -> Option<&Value> {
        let path = format!("{section}/{key}");
        self.sections
            .iter()
            .rev()
            .filter(|(name, _)| name == section)
            .find_map(|(_, content)| content.get(key))
            .or_else(|| self.get(&path))
    }

    /// Sets `section/key`.
    pub(crate) fn set(&mut self, section: &str, key: &str, value: Value) {
        let path = format!("{section}/{key}");
        self.keys.retain(|(name, _)| *name != path);
        for (name, content) in &mut self.sections {
            if name == section {
                content.keys.retain(|(name, _)| name != key);
            }
        }
        let place = self.sections.iter().position(|(name, _)| name == section);
        let place = place.unwrap_or_else(|| {
            self.sections.push((section.to_owned(), Section::default()));
            self.sections.len() - 1
        });
        self.sections[place].1.keys.push((key.to_owned(), value));
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.keys {
            writeln!(f, "{name} = {value}")?;
        }
        for (name, section) in &self.sections {
            writeln!(f, "{name} {{\n{section}}}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Fraction(text) => f.write_str(text),
            Self::Text(text) => {
                f.write_str("\"")?;
                for character in text.chars() {
                    if matches!(character, '"' | '\\') {
                        f.write_str("\\")?;
                    }
                    write!(f, "{character}")?;
                }
                f.write_str("\"")
            }
            Self::List(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{value}")?;
                }
                f.write_str("]")
            }
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    left: Option<&'static str>,
    places: Vec<Place>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            left: None,
            places: Vec::new(),
        }
    }

    fn wrong<T>(&self, reason: &'static str) -> Result<T, TextError> {
        Err(TextError {
            at: self.at,
            reason,
        })
    }

    /// The next byte that is neither space nor comment.
    fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'#' => {
                    while self.text.get(self.at).is_some_and(|&byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                byte if byte.is_ascii_whitespace() => self.at += 1,
                0 => return None,
                byte => return Some(byte),
            }
        }
        None
    }

    fn body(&mut self, depth: usize) -> Result<Section, TextError> {
        let mut section = Section::default();
        loop {
            match self.peek() {
                None if depth == 0 => return Ok(section),
                None => return self.wrong("the text ends inside of a section"),
                Some(b'}') if depth > 0 => {
                    self.at += 1;
                    return Ok(section);
                }
                Some(_) => self.entry(&mut section, depth)?,
            }
        }
    }

    fn entry(&mut self, section: &mut Section, depth: usize) -> Result<(), TextError> {
        let name = self.name()?;
        match self.peek() {
            Some(b'{') if depth == 1 && self.left == Some(name.as_str()) => {
                self.at += 1;
                self.outline()?;
                section.sections.push((name, Section::default()));
            }
            Some(b'{') if depth < DEEPEST => {
                self.at += 1;
                let content = self.body(depth + 1)?;
                section.sections.push((name, content));
            }
            Some(b'{') => return self.wrong("sections are nested too deep"),
            Some(b'=') => {
                self.at += 1;
                let value = self.value()?;
                section.keys.push((name, value));
            }
            _ => return self.wrong("= or { must follow a name"),
        }
        Ok(())
    }

    /// Notes where the sections of a section stand, up to its end.
    fn outline(&mut self) -> Result<(), TextError> {
        while self.peek() != Some(b'}') {
            let start = self.at;
            self.name()?;
            let name = start..self.at;
            if self.peek() != Some(b'{') {
                return self.wrong("{ must follow a name");
            }
            self.at += 1;
            let content = self.skip()?;
            self.places.push(Place { name, content });
        }
        self.at += 1;
        Ok(())
    }

    /// Goes to the end of a section; the result is where its content is.
    fn skip(&mut self) -> Result<Range<usize>, TextError> {
        let start = self.at;
        let mut depth = 0;
        loop {
            match self.text.get(self.at) {
                None | Some(0) => return self.wrong("the text ends inside of a section"),
                Some(b'#') => {
                    self.peek();
                    continue;
                }
                Some(quote @ (b'"' | b'\'')) => {
                    self.pass(*quote)?;
                    continue;
                }
                Some(b'{') => depth += 1,
                Some(b'}') if depth == 0 => {
                    let end = self.at;
                    self.at += 1;
                    return Ok(start..end);
                }
                Some(b'}') => depth -= 1,
                Some(_) => {}
            }
            self.at += 1;
        }
    }

    /// Goes behind a string.
    fn pass(&mut self, quote: u8) -> Result<(), TextError> {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            if byte == quote {
                return Ok(());
            }
            if byte == b'\\' && quote == b'"' {
                self.at += 1;
            }
        }
        self.wrong("the text ends inside of a string")
    }

    fn name(&mut self) -> Result<String, TextError> {
        if self.peek() == Some(b'"') {
            return self.string(b'"');
        }
        let start = self.at;
        while self
            .text
            .get(self.at)
            .is_some_and(|&byte| byte.is_ascii_graphic() && !b"={}[],\"#".contains(&byte))
        {
            self.at += 1;
        }
        if self.at == start {
            return self.wrong("a name must stand here");
        }
        Ok(String::from_utf8_lossy(&self.text[start..self.at]).into_owned())
    }

    fn value(&mut self) -> Result<Value, TextError> {
        if self.peek() != Some(b'[') {
            return self.scalar();
        }
        self.at += 1;
        let mut values = Vec::new();
        loop {
            match self.peek() {
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::List(values));
                }
                Some(b',') => self.at += 1,
                Some(_) => values.push(self.scalar()?),
                None => return self.wrong("the text ends inside of a list"),
            }
        }
    }

    fn scalar(&mut self) -> Result<Value, TextError> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => Ok(Value::Text(self.string(quote)?)),
            Some(_) => {
                let word = self.name()?;
                Ok(match (word.parse(), word.parse::<f64>()) {
                    (Ok(number), _) => Value::Number(number),
                    (_, Ok(_)) => Value::Fraction(word),
                    _ => Value::Text(word),
                })
            }
            None => self.wrong("a value must stand here"),
        }
    }

    /// Text in double quotes has escapes, text in single quotes has not.
    fn string(&mut self, quote: u8) -> Result<String, TextError> {
        self.at += 1;
        let mut bytes = Vec::new();
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            if byte == quote {
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
            match self.text.get(self.at) {
                Some(&next) if byte == b'\\' && quote == b'"' => {
                    if !matches!(next, b'"' | b'\\') {
                        bytes.push(byte);
                    }
                    bytes.push(next);
                    self.at += 1;
                }
                _ => bytes.push(byte),
            }
        }
        self.wrong("the text ends inside of a string")
    }
}

#[cfg(test)]
mod tests;
