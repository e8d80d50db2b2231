//! Mounts behaviours: makes a test of each, on each combination of databases, with each pool.

/// Mounts each behaviour of a module on each type, or list of types, with each pool.
macro_rules! mount {
    ($module:ident: [$($behaviour:ident),+ $(,)?] on $sides:tt) => {
        $(mount!(@sides $module $behaviour $sides);)+
    };
    (@sides $module:ident $behaviour:ident [$($name:ident: <$($side:ty),+>),+ $(,)?]) => {
        mod $behaviour {
            use super::*;

            $(mod $name {
                use super::*;
                use kit::side::PoolKind;

                #[tokio::test(flavor = "multi_thread")]
                async fn deadpool() {
                    crate::suite::$module::$behaviour::<$($side),+>(PoolKind::Deadpool).await;
                }

                #[tokio::test]
                async fn bb8() {
                    crate::suite::$module::$behaviour::<$($side),+>(PoolKind::Bb8).await;
                }
            })+
        }
    };
}

/// Mounts each behaviour of the file that calls it with each pool.
macro_rules! mount_pools {
    ($($behaviour:ident),+ $(,)?) => {
        $(mod $behaviour {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn deadpool() {
                super::$behaviour(PoolKind::Deadpool).await;
            }

            #[tokio::test]
            async fn bb8() {
                super::$behaviour(PoolKind::Bb8).await;
            }
        })+
    };
}

pub(crate) use {mount, mount_pools};
