;; Imports a package that the host does not provide.
;; expect: rejected "this one imports `evil:corp/files`"
(component (import "evil:corp/files" (instance)))
