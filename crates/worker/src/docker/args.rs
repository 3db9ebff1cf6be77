//! Cutting `iexec_args` into a container's arguments, exactly as the original does (spec `worker.md` §6.3): what the application is
//! called with is part of what workers must agree on. It never expands, unescapes or trims anything.

/// The arguments in `text`; none at all when its quotes are not balanced.
///
/// Only the ASCII space separates. A backslash stays in the argument; it only makes the quote that follows it an ordinary character,
/// even when a space stands between them. Quoted empty arguments vanish.
#[must_use]
pub fn tokenise(text: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut current = String::new();
    let mut quote = None;
    let mut escaped = false;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), _) if c == open && !escaped => quote = None,
            (None, '\'' | '"') if !escaped => quote = Some(c),
            (None, ' ') => {
                if !current.is_empty() {
                    arguments.push(std::mem::take(&mut current));
                }
            }
            _ => {
                current.push(c);
                escaped = c == '\\';
            }
        }
    }
    if quote.is_some() {
        tracing::warn!(
            "the quotes of iexec_args are not balanced: the application gets no arguments"
        );
        return Vec::new();
    }
    if !current.is_empty() {
        arguments.push(current);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::tokenise;

    #[test]
    fn quotes_group_and_spaces_separate() {
        assert_eq!(tokenise("a 'b c' \"d e\" ''"), ["a", "b c", "d e"]);
        assert_eq!(tokenise("  a   b "), ["a", "b"]);
        assert_eq!(tokenise("a'b'c"), ["abc"]);
        assert!(tokenise("").is_empty());
    }

    #[test]
    fn a_backslash_stays_and_makes_the_next_quote_ordinary() {
        assert_eq!(tokenise(r#"say \"hi\""#), ["say", r#"\"hi\""#]);
        assert_eq!(tokenise(r"'it\'s' ok"), [r"it\'s", "ok"]);
        assert_eq!(tokenise(r"a\ b"), [r"a\", "b"]);
    }

    #[test]
    fn characters_of_any_script_are_ordinary_and_so_are_their_spaces() {
        assert_eq!(
            tokenise("grüße '日本 語' \"😀 \u{301}\" a\u{a0}b c\u{3000}d"),
            ["grüße", "日本 語", "😀 \u{301}", "a\u{a0}b", "c\u{3000}d"]
        );
        assert_eq!(tokenise("«a b» “c d”"), ["«a", "b»", "“c", "d”"]);
    }

    #[test]
    fn what_stands_for_something_in_a_shell_stands_for_itself() {
        assert_eq!(
            tokenise("$HOME `id` $(id) a;b |c &d *.? ~ #e >f"),
            [
                "$HOME", "`id`", "$(id)", "a;b", "|c", "&d", "*.?", "~", "#e", ">f"
            ]
        );
        assert_eq!(
            tokenise("--a='b c' \"it's\" 'say \"x\"'"),
            ["--a=b c", "it's", "say \"x\""]
        );
        assert_eq!(tokenise("a\"\" \"\"b \"\" ''"), ["a", "b"]);
    }

    #[test]
    fn a_megabyte_of_arguments_is_cut_like_any_other() {
        assert_eq!(tokenise(&"a ".repeat(500_000)).len(), 500_000);
        assert_eq!(tokenise(&"a".repeat(1 << 20)).len(), 1);
        assert!(tokenise(&"'".repeat((1 << 20) + 1)).is_empty());
    }

    #[test]
    fn unbalanced_quotes_leave_no_argument() {
        assert!(tokenise("x \"unbalanced").is_empty());
        // The backslash's effect survives the space.
        assert!(tokenise(r"\ 'x y'").is_empty());
    }

    #[test]
    fn tabs_and_new_lines_are_ordinary_characters() {
        assert_eq!(tokenise("a\tb\nc d"), ["a\tb\nc", "d"]);
    }
}
