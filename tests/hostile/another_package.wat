;; Wants something that nobody has.
;; expect: refused "asks the host for `evil:corp/files`"
(component (import "evil:corp/files" (instance)))
