//! Attributes that `arguments.cedarschema` declares twice, or in two spellings: Cedar takes the last, and a call with both
//! spellings can never be judged. Read from the text, for what Cedar has read holds each once.
//!
//! Must only be asked about a text that Cedar has taken.

use std::collections::BTreeMap;

use super::arguments::folded;
use super::mistake::Mistake;

/// Every attribute that is declared a second time.
pub(super) fn repeated(file: &str, text: &str) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    // The names of each record that is open, as a reader in other letters would see them.
    let mut open: Vec<BTreeMap<String, String>> = Vec::new();
    let (mut bytes, mut line, mut begins) = (text.char_indices().peekable(), 1_usize, false);
    while let Some((at, letter)) = bytes.next() {
        let mut name = String::new();
        match letter {
            '\n' => line += 1,
            '/' if text.get(at..).is_some_and(|rest| rest.starts_with("//")) => {
                while bytes.next_if(|(_, letter)| *letter != '\n').is_some() {}
            }
            '{' => {
                open.push(BTreeMap::new());
                begins = true;
            }
            '}' => {
                open.pop();
                begins = false;
            }
            ',' => begins = true,
            '"' => {
                while let Some((_, letter)) = bytes.next_if(|(_, letter)| *letter != '"') {
                    name.push(letter);
                    if letter == '\\' {
                        name.extend(bytes.next().map(|(_, letter)| letter));
                    }
                }
                bytes.next();
            }
            letter if letter.is_whitespace() => {}
            letter if letter == '_' || letter.is_alphanumeric() => {
                name.push(letter);
                while let Some((_, letter)) = bytes.next_if(|(_, l)| *l == '_' || l.is_alphanumeric()) {
                    name.push(letter);
                }
            }
            _ => begins = false,
        }
        // A name is an attribute where one may begin: after the bracket or a comma.
        if name.is_empty() || !std::mem::take(&mut begins) {
            continue;
        }
        if let Some(record) = open.last_mut()
            && let Some(before) = record.insert(folded(&name), name.clone())
        {
            let problem = if before == name {
                format!("declares `{name}` twice")
            } else {
                format!("declares `{before}` and `{name}`, which some readers take for one")
            };
            mistakes.push(Mistake::new(file, line, problem));
        }
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::super::library::{Library, PolicyFile};
    use super::*;

    #[test]
    fn an_attribute_is_declared_once_in_its_record_and_in_one_spelling() {
        let told = |text: &str| {
            repeated("a", text)
                .iter()
                .map(|mistake| format!("{}: {}", mistake.line, mistake.problem))
                .collect::<Vec<_>>()
        };
        let sound = "type Place = { city?: String };\n// city, city?: String\ntype Arguments = {\n amount?: Long,\n \
            place?: { amount?: Long, \"to, a\"?: String, to?: Set<{ amount: Long }> },\n city?: Place,\n};";
        assert_eq!(told(sound), Vec::<String>::new());
        assert_eq!(
            told("type Arguments = {\n amount?: Long,\n amount?: String };"),
            ["3: declares `amount` twice"]
        );
        assert_eq!(told("type Arguments = { a?: { b: Long, \"b\": Long } };"), ["1: declares `b` twice"]);
        let spelled = told("type Arguments = { amount?: Long, Amount?: Long };");
        assert_eq!(spelled, ["1: declares `amount` and `Amount`, which some readers take for one"]);
        let file = |text: &str| {
            let text = text.to_owned();
            Library::read(&[PolicyFile { name: "arguments.cedarschema".to_owned(), text }], &[]).map(drop)
        };
        assert_eq!(file("type Arguments = { amount?: Long };"), Ok(()));
        assert!(file("type Arguments = { amount?: Long, amount?: String };").is_err());
    }
}
