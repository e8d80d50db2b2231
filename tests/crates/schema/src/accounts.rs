// @generated automatically by Diesel CLI.

diesel::table! {
    addresses (id) {
        id -> Integer,
        user_id -> Integer,
        city -> Text,
    }
}

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        #[sql_name = "type"]
        type_ -> Nullable<Text>,
        balance -> BigInt,
    }
}

diesel::joinable!(addresses -> users (user_id));

diesel::allow_tables_to_appear_in_same_query!(addresses, users,);
