//! What a claim must say: a text, in which `*` stands for a part of it. Both ends are anchored.
//!
//! `*` is at least one character and never `/` or `:`, by which platforms put names together: a branch that somebody may name
//! as they like cannot come to stand for a repository. `**`, at the end alone, is all the rest. Bytes are compared as they
//! are.

use thiserror::Error;

/// No claim that tells workloads apart is longer, and no pattern.
const LONGEST: usize = 1024;

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    One(char),
    Part,
    Rest,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not a text with `*` for a part between `/` and `:`, or `**` at its end for all the rest")]
pub struct PatternError;

const fn is_separator(letter: char) -> bool {
    matches!(letter, '/' | ':')
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`] if it is empty, over 1,024 bytes, has a control character, or `**` anywhere but at its end.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
            return Err(PatternError);
        }
        let (text, rest) = text.strip_suffix("**").map_or((text, false), |text| (text, true));
        if text.contains("**") || (rest && text.ends_with('*')) {
            return Err(PatternError);
        }
        let token = |letter| if letter == '*' { Token::Part } else { Token::One(letter) };
        let tokens = text.chars().map(token).chain(rest.then_some(Token::Rest));
        Ok(Self { tokens: tokens.collect() })
    }

    /// Whether it stands for one text alone.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.tokens.iter().all(|token| matches!(token, Token::One(_)))
    }

    /// What every text that it stands for begins with.
    #[must_use]
    pub fn beginning(&self) -> String {
        let letters = self.tokens.iter().map_while(|token| match token {
            Token::One(letter) => Some(*letter),
            Token::Part | Token::Rest => None,
        });
        letters.collect()
    }

    /// Whether it stands for this text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        if text.len() > LONGEST {
            return false;
        }
        let text: Vec<char> = text.chars().collect();
        let (mut token, mut at) = (0, 0);
        // The last part that was begun, and where it ends for now. An earlier one need not be looked at again: parts end at
        // separators, which stand in pattern and text in the same order.
        let mut part: Option<(usize, usize)> = None;
        loop {
            let is_one_more = match self.tokens.get(token) {
                None if at == text.len() => return true,
                None => false,
                Some(Token::Rest) => return at < text.len(),
                Some(Token::One(letter)) => text.get(at) == Some(letter),
                Some(Token::Part) => {
                    let begins = text.get(at).is_some_and(|letter| !is_separator(*letter));
                    if begins {
                        part = Some((token, at + 1));
                    }
                    begins
                }
            };
            if is_one_more {
                (token, at) = (token + 1, at + 1);
                continue;
            }
            // The part takes one more letter, if it may.
            let Some((begun, end)) = part else { return false };
            if text.get(end).is_none_or(|letter| is_separator(*letter)) {
                return false;
            }
            part = Some((begun, end + 1));
            (token, at) = (begun + 1, end + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_the_whole_text_and_a_part_never_crosses_a_separator() {
        for (pattern, text, matches) in [
            ("main", "main", true),
            ("main", "main2", false),
            ("main", "xmain", false),
            ("main", "Main", false),
            ("main", "", false),
            ("release/*", "release/1.0", true),
            ("release/*", "release/", false),
            ("release/*", "release/1/0", false),
            ("release/*", "prerelease/1", false),
            ("*", "a", true),
            ("*", "", false),
            ("*", "a/b", false),
            ("**", "a/b:c", true),
            ("**", "", false),
            ("repo:acme/**", "repo:acme/app:ref:refs/heads/main", true),
            ("repo:acme/**", "repo:acme/", false),
            ("repo:acme/**", "repo:acme-evil/app", false),
            ("repo:acme/*:ref:refs/heads/main", "repo:acme/app:ref:refs/heads/main", true),
            ("repo:acme/*:ref:refs/heads/main", "repo:acme/app:ref:refs/heads/x:ref:refs/heads/main", false),
            ("repo:acme/*:ref:refs/heads/main", "repo:acme/a/b:ref:refs/heads/main", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "abc", false),
            ("a*b*c", "aXbYb", false),
            ("a*/b*", "axb/by", true),
            ("a*/b*", "ax/y/by", false),
            ("*aab", "aaaaab", true),
            ("*.*", "a.b.c", true),
            ("é*", "éa", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(text), matches, "{pattern} {text}");
        }
        assert!(!Pattern::parse("**").unwrap().matches(&"x".repeat(1025)));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "a**b", "***", "**a", "a\nb", "a***", &"x".repeat(1025)] {
            assert_eq!(Pattern::parse(text), Err(PatternError), "{text}");
        }
    }

    /// Against a second reader: every split of the text is tried.
    #[test]
    fn it_agrees_with_one_that_tries_everything() {
        fn tries(pattern: &[char], text: &[char]) -> bool {
            match (pattern.first(), text.first()) {
                (None, None) => true,
                (Some('*'), Some(letter)) if !is_separator(*letter) => {
                    tries(&pattern[1..], &text[1..]) || tries(pattern, &text[1..])
                }
                (Some(a), Some(b)) if a == b && *a != '*' => tries(&pattern[1..], &text[1..]),
                _ => false,
            }
        }
        let words = |letters: &[char], longest: u32| {
            let letters = letters.to_vec();
            (1..=longest).flat_map(move |length| {
                let letters = letters.clone();
                (0..letters.len().pow(length)).map(move |mut number| {
                    (0..length)
                        .map(|_| {
                            let letter = letters[number % letters.len()];
                            number /= letters.len();
                            letter
                        })
                        .collect::<Vec<char>>()
                })
            })
        };
        let texts: Vec<Vec<char>> = words(&['a', 'b', '/'], 6).collect();
        for pattern in words(&['a', 'b', '/', '*'], 4) {
            let written: String = pattern.iter().collect();
            let Ok(read) = Pattern::parse(&written) else { continue };
            if written.ends_with("**") {
                continue;
            }
            for text in &texts {
                let said: String = text.iter().collect();
                assert_eq!(read.matches(&said), tries(&pattern, text), "{written} {said}");
            }
        }
    }
}
