// @generated automatically by Diesel CLI.

diesel::table! {
    entries (id) {
        id -> Integer,
        user_id -> Integer,
        amount -> Bigint,
    }
}
