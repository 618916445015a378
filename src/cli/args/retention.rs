//! stub
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RetentionArgs {}
