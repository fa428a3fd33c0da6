//! How long a chain of one policy may be and how deep its brackets, looked at before it is parsed: Cedar reads and judges by
//! recursion, and what is deeper than a stack ends the process (attacks F-30).

use super::library::PolicyFile;
use super::mistake::Mistake;

/// Operators, conditions and `if`s of one policy.
const LINKS: usize = 200;
/// Members that it looks at: each may be one of the one before.
const STEPS: usize = 2_000;
/// Brackets within each other.
const DEEPEST: usize = 50;

/// What is too long or too deep in a file; the first of it.
pub(super) fn judge(file: &PolicyFile) -> Option<Mistake> {
    let mut bytes = file.text.bytes().peekable();
    let (mut line, mut links, mut steps, mut depth) = (1_usize, 0_usize, 0_usize, 0_usize);
    while let Some(byte) = bytes.next() {
        match byte {
            b'\n' => line += 1,
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\n' => line += 1,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            // A comment ends with its line.
            b'/' if bytes.peek() == Some(&b'/') => while bytes.next_if(|byte| *byte != b'\n').is_some() {},
            b'|' | b'&' if bytes.next_if_eq(&byte).is_some() => links += 1,
            b'!' if bytes.next_if_eq(&b'=').is_some() => {}
            b'!' | b'+' | b'-' | b'*' => links += 1,
            b'.' => steps += 1,
            b'(' | b'{' => depth += 1,
            b'[' => (steps, depth) = (steps + 1, depth + 1),
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b';' => (links, steps, depth) = (0, 0, 0),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let mut word = vec![byte];
                while let Some(next) = bytes.next_if(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
                    word.push(next);
                }
                links += usize::from(matches!(word.as_slice(), b"if" | b"when" | b"unless"));
            }
            _ => {}
        }
        if links > LINKS || steps > STEPS {
            let problem = format!(
                "a policy has more than {LINKS} operators, conditions and `if`s, or looks at more than {STEPS} members: \
                 write several policies, or a set and `in`"
            );
            return Some(Mistake::new(&file.name, line, problem));
        }
        if depth > DEEPEST {
            let problem = format!("more than {DEEPEST} brackets stand within each other");
            return Some(Mistake::new(&file.name, line, problem));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::library::{KnownServer, Library};
    use super::*;

    fn read(text: String) -> Result<(), String> {
        let files = [PolicyFile { name: "a.cedar".to_owned(), text }];
        let servers = [KnownServer { name: "notes", permits: false }];
        Library::read(&files, &servers)
            .map(drop)
            .map_err(|mistakes| mistakes.first().map(ToString::to_string).unwrap_or_default())
    }

    fn chain(links: usize) -> String {
        let names: Vec<String> = (0..=links).map(|index| format!("resource.name == \"t{index}\"")).collect();
        format!(
            "// (((\n@id(\"a\") forbid (principal, action == Action::\"call\", resource) when {{ {} }};",
            names.join(" ||\n")
        )
    }

    #[test]
    fn f_30_a_policy_that_is_too_long_or_too_deep_is_a_mistake_and_ends_nothing() {
        assert_eq!(read(chain(150)), Ok(()));
        for links in [LINKS + 1, 20_000] {
            let told = read(chain(links)).unwrap_err();
            assert!(told.starts_with("a.cedar:") && told.contains("200 operators"), "{told}");
        }
        for depth in [60, 100_000] {
            let (open, close) = ("(".repeat(depth), ")".repeat(depth));
            let told = read(format!("forbid (principal, action, resource) when {{ {open}true{close} }};"));
            assert!(told.unwrap_err().contains("50 brackets"), "{depth}");
        }
        for (word, text) in [
            ("if", "if true then true else ".repeat(20_000) + "true"),
            ("when", "true } when { ".repeat(20_000) + "true"),
            ("not", "!".repeat(20_000) + "true"),
            ("member", "resource".to_owned() + &".name".repeat(50_000) + " == \"\""),
            ("index", "resource".to_owned() + &"[\"name\"]".repeat(50_000) + " == \"\""),
        ] {
            let told = read(format!("forbid (principal, action, resource) when {{ {text} }};")).unwrap_err();
            assert!(told.contains("200 operators"), "{word}: {told}");
        }
        let text = format!(
            "forbid (principal, action == Action::\"call\", resource) when {{ resource.name == \"{}\" }};",
            "(|| ".repeat(300)
        );
        assert_eq!(read(text), Ok(()), "of texts nothing counts");
        let declared: Vec<String> = (0..300).map(|index| format!("a{index}?: Long")).collect();
        let text = format!("type Arguments = {{ {} }};", declared.join(", "));
        let files = [PolicyFile { name: "arguments.cedarschema".to_owned(), text }];
        assert!(Library::read(&files, &[]).is_ok(), "what is declared is as long as it is");
    }
}
