//! A text under construction: bounded, and zeroed wherever it has been.

use envlatch_secret::Secret;
use zeroize::Zeroizing;

use super::MAX_OUTPUT;
use super::functions::Fault;

/// Bytes that are no more than [`MAX_OUTPUT`].
#[derive(Default)]
pub(super) struct Output(Zeroizing<Vec<u8>>);

// === impl Output ===

impl Output {
    pub(super) fn push(&mut self, text: impl AsRef<[u8]>) -> Result<(), Fault> {
        self.push_times(text, 1)
    }

    pub(super) fn push_char(&mut self, character: char) -> Result<(), Fault> {
        self.push(character.encode_utf8(&mut [0; 4]))
    }

    pub(super) fn push_chars(
        &mut self,
        characters: impl IntoIterator<Item = char>,
    ) -> Result<(), Fault> {
        characters
            .into_iter()
            .try_for_each(|character| self.push_char(character))
    }

    pub(super) fn push_times(&mut self, text: impl AsRef<[u8]>, times: usize) -> Result<(), Fault> {
        let text = text.as_ref();
        let length = text
            .len()
            .saturating_mul(times)
            .saturating_add(self.0.len());
        if length > MAX_OUTPUT {
            return Err(Fault::TooLong);
        }
        self.reserve(length);
        (0..if text.is_empty() { 0 } else { times }).for_each(|_| self.0.extend_from_slice(text));
        Ok(())
    }

    /// The bytes so far, if they are text.
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// A `Vec` that grows by itself leaves its old bytes in freed memory.
    fn reserve(&mut self, length: usize) {
        if length > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(length.max(2 * self.0.capacity())));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
    }
}

impl From<Output> for Secret {
    fn from(mut output: Output) -> Self {
        Self::new(std::mem::take(&mut *output.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_limit_and_no_byte_more() {
        let mut output = Output::default();
        assert!(output.push_times("ab", MAX_OUTPUT / 2).is_ok());
        assert!(output.push("").is_ok());
        assert!(matches!(output.push("c"), Err(Fault::TooLong)));
        assert!(matches!(
            output.push_times("ab", usize::MAX),
            Err(Fault::TooLong)
        ));
        assert_eq!(Secret::from(output).len(), MAX_OUTPUT);
    }

    #[test]
    fn nothing_any_number_of_times_is_nothing() {
        let mut output = Output::default();
        assert!(output.push_times("", usize::MAX).is_ok());
        assert!(Secret::from(output).is_empty());
    }
}
