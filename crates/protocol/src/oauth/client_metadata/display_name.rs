//! Names that clients choose, made fit to be shown: one line, no characters that hide or turn text.
//!
//! It must never make a name safe to believe: it stands beside the word "unverified".

/// The longest name, in characters.
const MAX_CHARACTERS: usize = 80;

/// The name as it may be shown; `None` if nothing is left of it. Cleaning a clean name changes nothing.
pub(super) fn clean(name: &str) -> Option<String> {
    let mut shown = String::with_capacity(name.len().min(4 * MAX_CHARACTERS));
    for character in name.chars().filter(|c| c.is_whitespace() || !is_hidden(*c)) {
        if !character.is_whitespace() {
            shown.push(character);
        } else if !shown.is_empty() && !shown.ends_with(' ') {
            shown.push(' ');
        }
    }
    let shown: String = shown.chars().take(MAX_CHARACTERS).collect();
    let shown = shown.trim_end();
    (!shown.is_empty()).then(|| shown.to_owned())
}

/// Control, format, direction, filler, private-use and unassigned-for-ever characters: what draws nothing,
/// or draws something else than it says (Unicode Technical Report 36).
#[must_use]
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(u32::from(character),
            0x00AD | 0x034F | 0x0600..=0x0605 | 0x061C | 0x06DD | 0x070F | 0x08E2 | 0x115F | 0x1160
            | 0x17B4 | 0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F
            | 0x2800 | 0x3164 | 0xE000..=0xF8FF | 0xFDD0..=0xFDEF | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0
            | 0xFFF0..=0xFFFF | 0x1D173..=0x1D17A | 0xE0000..=0x0010_FFFF)
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn an_honest_name_is_left_alone() {
        for name in ["Claude Code (example)", "Caf\u{e9}", "\u{95a2}\u{6240}", "\u{1f512} Lock", "a & b <c>"]
        {
            assert_eq!(clean(name).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_hides_or_turns_text_is_taken_out() {
        assert_eq!(clean("evil\u{202e}gpj\u{200b}.exe\u{feff}").as_deref(), Some("evilgpj.exe"));
        assert_eq!(clean("a\0b\u{1b}[31mc\u{7f}\u{9b}").as_deref(), Some("ab[31mc"));
        assert_eq!(clean("a\u{e0041}\u{e000}\u{2066}b").as_deref(), Some("ab"));
        assert_eq!(clean("\u{200b}\u{3164}\u{2800}"), None);
    }

    #[test]
    fn a_name_is_one_line_of_at_most_80_characters() {
        assert_eq!(clean("  a\r\n\tb \u{2028} c\u{3000}").as_deref(), Some("a b c"));
        assert_eq!(clean(&"\u{e9}".repeat(500)).map(|name| name.chars().count()), Some(80));
        assert_eq!(clean(" \t "), None);
        assert_eq!(clean(""), None);
        let cut = clean(&format!("{} b", "a".repeat(79))).unwrap();
        assert_eq!(clean(&cut), Some(cut));
    }
}
