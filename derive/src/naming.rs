//! The names that are derived from the name of a struct.

/// Returns the table of a model without `table_name`, by Diesel's own rule.
pub(crate) fn table_name(model: &str) -> String {
    snake_case(model) + "s"
}

/// Turns `FooBar` into `foo_bar` and `HTTPLog` into `h_t_t_p_log`, like Diesel.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for (position, character) in name.chars().enumerate() {
        if position > 0 && character.is_uppercase() {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_gets_the_table_that_diesel_gives_it() {
        assert_eq!(table_name("User"), "users");
        assert_eq!(table_name("FooBarBaz"), "foo_bar_bazs");
        assert_eq!(table_name("Foo_Bar"), "foo__bars");
        assert_eq!(table_name("HTTPLog"), "h_t_t_p_logs");
    }
}
