//! The known word nearest to a mistyped one. Pure.

/// The word with the fewest letters to insert, delete or replace (Levenshtein's distance); the first of equals, `None` of none.
pub fn nearest<'w>(typed: &str, known: &[&'w str]) -> Option<&'w str> {
    known.iter().copied().min_by_key(|word| distance(typed, word))
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, left_char) in left.chars().enumerate() {
        let mut diagonal = above;
        let mut previous = above + 1;
        if let Some(first) = row.first_mut() {
            *first = previous;
        }
        for (cell, right_char) in row.iter_mut().skip(1).zip(&right) {
            let replaced = diagonal + usize::from(left_char != *right_char);
            diagonal = *cell;
            *cell = replaced.min(previous + 1).min(diagonal + 1);
            previous = *cell;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn the_nearest_word_wins() {
        assert_eq!(nearest("lisen", &["name", "listen"]), Some("listen"));
        assert_eq!(nearest("x", &[]), None);
    }
}
