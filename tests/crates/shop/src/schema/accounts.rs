// @generated automatically by Diesel CLI.

diesel::table! {
    users (id) {
        id -> Int4,
        balance -> Int8,
    }
}
