//! Every `tamis.*` session option, defined once.
