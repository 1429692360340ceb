"""What tests of every service need: waiting, servers, fixtures."""
