//! The harness of the tests: programs, servers, temporary directories
