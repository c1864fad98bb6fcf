"""Generated from plugin/proto/handler.proto and goplugin.proto; see README.md."""
