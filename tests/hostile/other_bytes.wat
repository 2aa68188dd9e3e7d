;; No component, but a picture.
;; expect: refused "do not begin as one"
(module binary "\89PNG\0d\0a\1a\0a")
